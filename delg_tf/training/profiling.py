"""A profile of some steps, for TensorBoard."""

import os

import tensorflow as tf

from delg_tf.common.errors import InputError


class Profiler:
    """Records what the machine does in a range of steps.

    Args:
        logdir: the run's directory; the profile goes to `train_logs`.
        steps: first and last step of the profile; None: no profile.
    """

    def __init__(self, logdir: str, steps: tuple[int, int] | None):
        self._folder = os.path.join(logdir, "train_logs")
        self._steps = steps
        self._running = False

    def before_step(self, step: int) -> None:
        """To be called before each step, with its number (from 1)."""
        if self._steps is None:
            return
        first, last = self._steps
        if first <= step <= last and not self._running:
            tf.profiler.experimental.start(self._folder)
            self._running = True
        if step > last:
            self.stop()

    def stop(self) -> None:
        """Ends the profile, if one is being taken."""
        if self._running:
            tf.profiler.experimental.stop()
            self._running = False
            self._steps = None


def parse_steps(text: str | None) -> tuple[int, int] | None:
    """Reads "100,120".

    Raises:
        InputError: these are no two steps in order.
    """
    if not text:
        return None
    try:
        first, last = (int(part) for part in text.split(","))
    except ValueError:
        first, last = 0, 0
    if not 1 <= first <= last:
        raise InputError(
            "`profile_steps` must be like 100,120: the first and the last "
            f"step. Received: {text!r}"
        )
    return first, last
