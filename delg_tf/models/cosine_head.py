"""Cosine classifier of the global descriptor."""

import math

import tensorflow as tf
import tf_keras as keras


@keras.utils.register_keras_serializable(package="delg_tf")
class CosineHead(keras.layers.Layer):
    """Cosines between embeddings and class centres, and the softmax scale.

    Shape:
        Input `[batch, dim]`, output `[batch, num_classes]`, cosines in
        float32 (up to rounding within [-1, 1]).

    Args:
        num_classes: int.
        scale_init: float or None. Start value of the scale gamma that
            multiplies the cosines before the softmax. Defaults to `None`:
            sqrt(dim), 45.25 for 2048 dimensions.
        learn_scale: bool. `True` as in the paper, `False` as in the official
            code. Defaults to `True`.

    Reference: DELG paper, section 3.3; official file `delg_model.py`.
    """

    def __init__(
        self,
        num_classes: int,
        scale_init: float | None = None,
        learn_scale: bool = True,
        **kwargs: object,
    ):
        if num_classes < 2:
            raise ValueError(
                f"`num_classes` must be at least 2. Received: {num_classes}"
            )
        if scale_init is not None and scale_init <= 0:
            raise ValueError(
                f"`scale_init` must be positive. Received: {scale_init}"
            )
        super().__init__(dtype="float32", **kwargs)
        self.num_classes = num_classes
        self.scale_init = scale_init
        self.learn_scale = learn_scale

    def build(self, input_shape: tf.TensorShape) -> None:
        dim = int(input_shape[-1])
        self.centres = self.add_weight(
            name="centres",
            shape=(dim, self.num_classes),
            initializer="glorot_uniform",
        )
        self.scale = self.add_weight(
            name="scale",
            shape=(),
            initializer=keras.initializers.Constant(
                self.scale_init or math.sqrt(dim)
            ),
            trainable=self.learn_scale,
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        embeddings = tf.nn.l2_normalize(tf.cast(inputs, tf.float32), axis=1)
        return tf.matmul(embeddings, tf.nn.l2_normalize(self.centres, axis=0))

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        config = super().get_config()
        config.pop("dtype")
        return config | {
            "num_classes": self.num_classes,
            "scale_init": self.scale_init,
            "learn_scale": self.learn_scale,
        }
