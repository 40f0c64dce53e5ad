"""Loss of the attention-pooled local features."""

import tensorflow as tf


def attention_loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Softmax cross-entropy.

    Args:
        logits: float `[batch, num_classes]`.
        labels: int `[batch]`.

    Returns:
        float32 `[batch]`.

    Reference: DELG paper, equation 5.
    """
    return tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels, tf.cast(logits, tf.float32)
    )
