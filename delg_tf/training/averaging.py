"""Moving average of the weights."""

import contextlib
from collections.abc import Iterator, Sequence

import tensorflow as tf


class WeightAverage(tf.Module):
    """Exponential moving average of variables.

    After step t (from 1) an average is `d a + (1 - d) w` with
    `d = min(decay, t / (t + 9))`, so that the first steps, which start far
    off, are soon forgotten.

    Args:
        variables: weights, made under the strategy; averages start as copies.
        decay: in (0, 1).

    Reference: Polyak and Juditsky 1992; the ramp is TensorFlow's
    `ExponentialMovingAverage` with `num_updates`.
    """

    def __init__(self, variables: Sequence[tf.Variable], decay: float):
        super().__init__(name="average")
        self._variables = tuple(variables)
        self._decay = decay
        self._averages = [
            tf.Variable(
                variable.read_value(),
                trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                name=variable.name.split(":")[0] + "/average",
            )
            for variable in variables
        ]

    def restart(self) -> None:
        """Makes the averages copies of the weights as they are now."""
        for average, variable in zip(self._averages, self._variables):
            average.assign(variable.read_value())

    def update(self, step: tf.Tensor) -> None:
        """Takes the weights in; in cross-replica context.

        Args:
            step: number of the step just made, from 1.
        """
        step = tf.cast(step, tf.float32)
        decay = tf.minimum(self._decay, step / (step + 9.0))
        for average, variable in zip(self._averages, self._variables):
            value = tf.cast(variable, tf.float32)
            average.assign(decay * average + (1.0 - decay) * value)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the network has the averages as its weights."""
        weights = [variable.numpy() for variable in self._variables]
        for variable, average in zip(self._variables, self._averages):
            variable.assign(average.read_value())
        try:
            yield
        finally:
            for variable, weight in zip(self._variables, weights):
                variable.assign(weight)
