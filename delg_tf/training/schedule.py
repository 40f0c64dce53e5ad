"""Learning rate over the steps."""

import tensorflow as tf
import tf_keras as keras


@keras.utils.register_keras_serializable(package="delg_tf")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear decay to zero after an optional linear warm-up.

    At step s (from 0): `initial * min(1, (s + 1) / (warmup + 1))
    * (1 - s / total)`.

    Args:
        initial: learning rate that the decay starts from.
        total_steps: the step at which it reaches 0.
        warmup_steps: steps with a reduced rate at the beginning.

    Reference: DELG paper, section 4.1 (linear decay; no warm-up there).
    """

    def __init__(self, initial: float, total_steps: int, warmup_steps: int = 0):
        self.initial = initial
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Returns the rate of step `step`, counted from 0; float32 scalar."""
        step = tf.cast(step, tf.float32)
        warmup = tf.minimum(1.0, (step + 1) / (self.warmup_steps + 1))
        left = tf.maximum(0.0, 1 - step / max(self.total_steps, 1))
        return self.initial * warmup * left

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return {
            "initial": self.initial,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
        }
