"""Softmax cross-entropy that the heads share."""

import tensorflow as tf


def cross_entropy(
    logits: tf.Tensor,
    targets: tf.Tensor,
    label_smoothing: float = 0.0,
    log_weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """Cross-entropy with smoothed labels, and over sampled classes.

    The target distribution has `1 - label_smoothing` at the true class and
    spreads the rest evenly over all classes, the true one included.

    Args:
        logits: float `[batch, s]`.
        targets: int `[batch]`, the true class's column.
        label_smoothing: in [0, 1).
        log_weights: float `[s]`: log of the number of classes that each
            column stands for (`ClassSample`); None: one each.

    Returns:
        float32 `[batch]`.

    Reference: smoothing: Szegedy et al., CVPR 2016, section 7; sampled
    classes: Jean et al., ACL 2015.
    """
    logits = tf.cast(logits, tf.float32)
    weighted = logits if log_weights is None else logits + log_weights
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, weighted)
    if label_smoothing == 0:
        return loss
    # The true class stands for itself: its weight is 1, its log is 0.
    true = tf.gather(logits, targets, axis=1, batch_dims=1)
    weights = 1.0 if log_weights is None else tf.exp(log_weights)
    weights *= tf.ones_like(logits[0])
    mean = tf.linalg.matvec(logits, weights / tf.reduce_sum(weights))
    return loss + label_smoothing * (true - mean)
