"""Linear classifier whose classes can be sampled."""

import tensorflow as tf
import tf_keras as keras


@keras.utils.register_keras_serializable(package="delg_tf")
class LinearHead(keras.layers.Layer):
    """Logits of a softmax classifier with biases, in float32.

    The kernel has one row a class, so that the rows of a few classes can be
    read, and their gradients kept, without touching the rest.

    Shape:
        Inputs `[batch, dim]` and optionally int `[s]`, the classes asked
        for; output `[batch, num_classes]` or `[batch, s]`.

    Args:
        num_classes: int.

    Reference: DELG paper, equation 5 and table 2 ("softmax").
    """

    # Cosine classifiers have one.
    scale = None

    def __init__(self, num_classes: int, **kwargs: object):
        if num_classes < 2:
            raise ValueError(
                f"`num_classes` must be at least 2. Received: {num_classes}"
            )
        super().__init__(dtype="float32", **kwargs)
        self.num_classes = num_classes

    def build(self, input_shape: tf.TensorShape) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.num_classes, int(input_shape[-1])),
            initializer="glorot_uniform",
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.num_classes,), initializer="zeros"
        )
        super().build(input_shape)

    def call(
        self, inputs: tf.Tensor, classes: tf.Tensor | None = None
    ) -> tf.Tensor:
        kernel, bias = self.kernel, self.bias
        if classes is not None:
            kernel, bias = tf.gather(kernel, classes), tf.gather(bias, classes)
        inputs = tf.cast(inputs, tf.float32)
        return tf.matmul(inputs, kernel, transpose_b=True) + bias

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        config = super().get_config()
        config.pop("dtype")
        return config | {"num_classes": self.num_classes}
