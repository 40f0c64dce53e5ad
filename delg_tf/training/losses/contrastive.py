"""Contrastive loss of the global descriptor over a batch's pairs."""

import tensorflow as tf

# Keeps the square root's derivative finite where two descriptors coincide.
_MIN_SQUARED_DISTANCE = 1e-12


def contrastive_loss(
    descriptors: tf.Tensor, labels: tf.Tensor, margin: float = 0.7
) -> tf.Tensor:
    """Pulls examples of one class together and pushes others apart.

    A pair at the distance d costs `d^2 / 2` if its labels agree, and
    `max(0, margin - d)^2 / 2` if not. An example's value is the mean over its
    pairs with all other examples of the batch (of this replica's part of it),
    so that the mean over the examples is the mean over all pairs.

    Args:
        descriptors: float `[batch, dim]`; they are L2-normalised first, so
            distances lie in [0, 2].
        labels: int `[batch]`.
        margin: distance beyond which examples of two classes may stay.

    Returns:
        float32 `[batch]`; zeros for a single example.

    Raises:
        ValueError: the margin is not positive.

    Reference: Radenovic et al., TPAMI 2018, section 3.3 (there with mined
    pairs); Hadsell et al., CVPR 2006.
    """
    if margin <= 0:
        raise ValueError(f"`margin` must be positive. Received: {margin}")
    unit = tf.nn.l2_normalize(tf.cast(descriptors, tf.float32), axis=1)
    cosines = tf.matmul(unit, unit, transpose_b=True)
    squared = tf.maximum(2.0 - 2.0 * cosines, _MIN_SQUARED_DISTANCE)
    short = tf.maximum(margin - tf.sqrt(squared), 0.0)
    same = tf.equal(labels[:, tf.newaxis], labels)
    costs = tf.where(same, squared, short**2) / 2.0
    others = 1.0 - tf.eye(tf.shape(labels)[0])
    number = tf.maximum(tf.reduce_sum(others, axis=1), 1.0)
    return tf.reduce_sum(costs * others, axis=1) / number
