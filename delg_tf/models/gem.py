"""Generalised-mean pooling."""

import tensorflow as tf
import tf_keras as keras


@keras.utils.register_keras_serializable(package="delg_tf")
class GeM(keras.layers.Layer):
    """Generalised-mean (GeM) pooling over height and width.

    `y_c = (mean_{h,w} max(x_hwc, epsilon)^p)^(1/p)`; p = 1 is average
    pooling, p to infinity max pooling. Computed in float32 whatever the
    policy: powers of small numbers vanish in half precision.

    Shape:
        Input `[batch, height, width, channels]`, output `[batch, channels]`
        (float32).

    Args:
        power: float >= 1. Start value of p. Defaults to 3.0 (the paper's).
        learn_power: bool. Whether p is a trained variable. The paper and the
            official code keep it fixed. Defaults to `False`.
        epsilon: float > 0. Lower bound of the input. Defaults to 1e-6.

    Reference: DELG paper, section 3.1; "Fine-tuning CNN image retrieval with
    no human annotation", Radenovic et al., TPAMI 2018.
    """

    def __init__(
        self,
        power: float = 3.0,
        learn_power: bool = False,
        epsilon: float = 1e-6,
        **kwargs: object,
    ):
        if power < 1:
            raise ValueError(f"`power` must be at least 1. Received: {power}")
        if epsilon <= 0:
            raise ValueError(f"`epsilon` must be > 0. Received: {epsilon}")
        super().__init__(dtype="float32", **kwargs)
        self.power = power
        self.learn_power = learn_power
        self.epsilon = epsilon

    def build(self, input_shape: tf.TensorShape) -> None:
        self.p = None
        if self.learn_power:
            self.p = self.add_weight(
                name="power",
                shape=(),
                initializer=keras.initializers.Constant(self.power),
                constraint=lambda p: tf.maximum(p, 1.0),
            )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        p = self.power if self.p is None else self.p
        x = tf.maximum(tf.cast(inputs, tf.float32), self.epsilon)
        return tf.pow(tf.reduce_mean(tf.pow(x, p), axis=[1, 2]), 1.0 / p)

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        config = super().get_config()
        config.pop("dtype")
        return config | {
            "power": self.power,
            "learn_power": self.learn_power,
            "epsilon": self.epsilon,
        }
