"""Trained reduction of the local descriptors without reconstruction."""

import tensorflow as tf
import tf_keras as keras


@keras.utils.register_keras_serializable(package="delg_tf")
class Projection(keras.layers.Layer):
    """Reduces each cell's feature by one 1x1 convolution.

    The alternative "FC" to the autoencoder: it learns from the attention
    loss, whose classifier sees its output.

    Shape:
        Input `[batch, height, width, channels]`; output a pair like the
        autoencoder's: twice the descriptors `[batch, height, width, dim]`.

    Args:
        dim: int. Length of a descriptor. Defaults to 128.

    Reference: DELG paper, table 1.
    """

    def __init__(self, dim: int = 128, **kwargs: object):
        if dim < 1:
            raise ValueError(f"`dim` must be positive. Received: {dim}")
        super().__init__(**kwargs)
        self.dim = dim
        self.encoder = keras.layers.Conv2D(dim, 1, name="encoder")

    def call(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        descriptors = self.encoder(inputs)
        return descriptors, descriptors

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return super().get_config() | {"dim": self.dim}
