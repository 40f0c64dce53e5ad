"""Autoencoder that makes the local descriptors small."""

import tensorflow as tf
import tf_keras as keras


@keras.utils.register_keras_serializable(package="delg_tf")
class Autoencoder(keras.layers.Layer):
    """Reduces each cell's feature and reconstructs it.

    1x1 convolution without activation, then 1x1 convolution with ReLU (its
    target is the output of a ReLU).

    Shape:
        Input `[batch, height, width, channels]`; output a pair: the
        descriptors `[batch, height, width, bottleneck_dim]` and the
        reconstruction, shaped like the input.

    Args:
        bottleneck_dim: int. Length of a descriptor. Defaults to 128.

    Reference: DELG paper, section 3.2.
    """

    def __init__(self, bottleneck_dim: int = 128, **kwargs: object):
        if bottleneck_dim < 1:
            raise ValueError(
                f"`bottleneck_dim` must be positive. Received: {bottleneck_dim}"
            )
        super().__init__(**kwargs)
        self.bottleneck_dim = bottleneck_dim
        self.encoder = keras.layers.Conv2D(bottleneck_dim, 1, name="encoder")

    def build(self, input_shape: tf.TensorShape) -> None:
        self.decoder = keras.layers.Conv2D(
            input_shape[-1], 1, activation="relu", name="decoder"
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        descriptors = self.encoder(inputs)
        return descriptors, self.decoder(descriptors)

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return super().get_config() | {"bottleneck_dim": self.bottleneck_dim}
