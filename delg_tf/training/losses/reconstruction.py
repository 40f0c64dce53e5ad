"""Loss of the autoencoder."""

import tensorflow as tf


def reconstruction_loss(
    reconstruction: tf.Tensor, target: tf.Tensor
) -> tf.Tensor:
    """Mean squared error over cells and channels.

    Args:
        reconstruction: float `[batch, height, width, channels]`.
        target: same shape; block3.

    Returns:
        float32 `[batch]`.

    Reference: DELG paper, equation 4.
    """
    difference = tf.cast(reconstruction, tf.float32) - tf.cast(
        target, tf.float32
    )
    return tf.reduce_mean(difference**2, axis=[1, 2, 3])
