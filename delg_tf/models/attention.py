"""Attention scores of the local features."""

import tensorflow as tf
import tf_keras as keras


@keras.utils.register_keras_serializable(package="delg_tf")
class Attention(keras.layers.Layer):
    """Scores each cell of a feature map: how useful is it for recognition.

    1x1 convolution, batch normalisation, ReLU, 1x1 convolution, softplus.

    Shape:
        Input `[batch, height, width, channels]`, output
        `[batch, height, width, 1]`, positive, float32.

    Args:
        hidden_dim: int. Width of the hidden layer. Defaults to 512.
        bn_momentum: float. Defaults to 0.99.
        bn_epsilon: float. Defaults to 1e-3.
        synchronized_bn: bool. Whether training normalises by the statistics
            of all replicas together. Defaults to `False`.

    Reference: DELG paper, section 3.2 (the DELF attention); official file
    `training/model/delf_model.py`, which adds the batch normalisation.
    """

    def __init__(
        self,
        hidden_dim: int = 512,
        bn_momentum: float = 0.99,
        bn_epsilon: float = 1e-3,
        synchronized_bn: bool = False,
        **kwargs: object,
    ):
        if hidden_dim < 1:
            raise ValueError(
                f"`hidden_dim` must be positive. Received: {hidden_dim}"
            )
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.bn_momentum = bn_momentum
        self.bn_epsilon = bn_epsilon
        self.synchronized_bn = synchronized_bn
        self.hidden = keras.layers.Conv2D(hidden_dim, 1, name="hidden")
        self.norm = keras.layers.BatchNormalization(
            momentum=bn_momentum,
            epsilon=bn_epsilon,
            synchronized=synchronized_bn,
            name="norm",
        )
        self.score = keras.layers.Conv2D(1, 1, name="score", dtype="float32")

    def call(
        self, inputs: tf.Tensor, training: bool | None = None
    ) -> tf.Tensor:
        x = tf.nn.relu(self.norm(self.hidden(inputs), training=training))
        return tf.nn.softplus(self.score(tf.cast(x, tf.float32)))

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "hidden_dim": self.hidden_dim,
            "bn_momentum": self.bn_momentum,
            "bn_epsilon": self.bn_epsilon,
            "synchronized_bn": self.synchronized_bn,
        }


def attention_pool(features: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """Pools features by their scores: mean of score times unit feature.

    The official code's choice (`delf_model.py`); the paper writes a sum of
    features that are not normalised.

    Args:
        features: float `[batch, height, width, channels]`.
        scores: float `[batch, height, width, 1]`.

    Returns:
        float32 `[batch, channels]`.
    """
    unit = tf.nn.l2_normalize(tf.cast(features, tf.float32), axis=-1)
    return tf.reduce_mean(unit * tf.cast(scores, tf.float32), axis=[1, 2])
