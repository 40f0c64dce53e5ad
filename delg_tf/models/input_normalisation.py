"""From this package's pixel values to those that other weights expect."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from delg_tf.models.config import INPUT_NORMALISATIONS

# Mean and standard deviation of R, G, B, in grey values of 0 to 255.
# `caffe`: Keras-Applications; `tf_slim`: its VGG preprocessing; `torch`:
# torchvision, whose numbers refer to values of 0 to 1.
STATISTICS = {
    "delg": ((128.0, 128.0, 128.0), (128.0, 128.0, 128.0)),
    "caffe": ((123.68, 116.779, 103.939), (1.0, 1.0, 1.0)),
    "tf_slim": ((123.68, 116.78, 103.94), (1.0, 1.0, 1.0)),
    "torch": (
        (255 * 0.485, 255 * 0.456, 255 * 0.406),
        (255 * 0.229, 255 * 0.224, 255 * 0.225),
    ),
}


@keras.utils.register_keras_serializable(package="delg_tf")
class InputNormalisation(keras.layers.Layer):
    """Turns (x - 128) / 128 into (x - mean) / deviation of another training.

    Everything outside the network keeps one convention for its images, and
    exports carry their own; zeros of the paddings that follow have the
    meaning that they had in the other training. Computed in float32 whatever
    the policy: bfloat16 cannot tell neighbouring grey values apart.

    Shape:
        Input and output float `[batch, height, width, 3]`, RGB.

    Args:
        kind: one of `config.INPUT_NORMALISATIONS`.
    """

    def __init__(self, kind: str, **kwargs: object):
        if kind not in INPUT_NORMALISATIONS:
            raise ValueError(
                f"`kind` must be one of {INPUT_NORMALISATIONS}. Received: "
                f"{kind!r}"
            )
        super().__init__(dtype="float32", **kwargs)
        self.kind = kind
        mean, deviation = (np.array(row) for row in STATISTICS[kind])
        # One multiplication and one addition, whose constants are rounded
        # once: with a deviation of 1, whole grey values stay exact.
        self._gain = np.float32(128 / deviation)
        self._offset = np.float32((128 - mean) / deviation)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.cast(inputs, tf.float32) * self._gain + self._offset

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        config = super().get_config()
        config.pop("dtype")
        return config | {"kind": self.kind}
