"""Learning rate over the steps."""

import math

import tensorflow as tf
import tf_keras as keras


@keras.utils.register_keras_serializable(package="delg_tf")
class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Decay to zero after an optional linear warm-up.

    At step s (from 0) of T: `initial * min(1, (s + 1) / (warmup + 1)) * d`,
    where d is `1 - s / T` (linear) or `(1 + cos(pi s / T)) / 2` (cosine).

    Args:
        initial: learning rate that the decay starts from.
        total_steps: the step at which it reaches 0.
        warmup_steps: steps with a reduced rate at the beginning.
        shape: `linear` or `cosine`.

    Reference: DELG paper, section 4.1 (linear decay; no warm-up there).
    """

    def __init__(
        self,
        initial: float,
        total_steps: int,
        warmup_steps: int = 0,
        shape: str = "linear",
    ):
        if shape not in ("linear", "cosine"):
            raise ValueError(
                f"`shape` must be linear or cosine. Received: {shape!r}"
            )
        self.initial = initial
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps
        self.shape = shape

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Returns the rate of step `step`, counted from 0; float32 scalar."""
        step = tf.cast(step, tf.float32)
        warmup = tf.minimum(1.0, (step + 1) / (self.warmup_steps + 1))
        done = tf.minimum(1.0, step / max(self.total_steps, 1))
        left = 1 - done
        if self.shape == "cosine":
            left = (1 + tf.cos(math.pi * done)) / 2
        return self.initial * warmup * left

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return {
            "initial": self.initial,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "shape": self.shape,
        }
