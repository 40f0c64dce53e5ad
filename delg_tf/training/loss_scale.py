"""Loss scaling for float16."""

import tensorflow as tf

_START = 2.0**15
_LARGEST = 2.0**24
_GROWTH_STEPS = 2000


class LossScale(tf.Module):
    """A factor on the loss that keeps float16 gradients from vanishing.

    It halves when a gradient overflows, and doubles after 2,000 steps
    without.

    Reference: Micikevicius et al., Mixed Precision Training, ICLR 2018.
    """

    def __init__(self):
        super().__init__(name="loss_scale")
        only_first = tf.VariableAggregation.ONLY_FIRST_REPLICA
        self.scale = tf.Variable(
            _START, trainable=False, aggregation=only_first, name="scale"
        )
        self.good_steps = tf.Variable(
            0, trainable=False, aggregation=only_first, name="good_steps"
        )

    @property
    def is_smallest(self) -> tf.Tensor:
        """Whether it cannot be halved further."""
        return self.scale <= 1.0

    def update(self, finite: tf.Tensor) -> None:
        """Notes whether a step's gradients were finite; cross-replica."""
        good = tf.where(finite, self.good_steps + 1, 0)
        grows = good >= _GROWTH_STEPS
        smaller = tf.maximum(self.scale / 2.0, 1.0)
        larger = tf.minimum(self.scale * 2.0, _LARGEST)
        same = tf.identity(self.scale)
        self.scale.assign(
            tf.where(finite, tf.where(grows, larger, same), smaller)
        )
        self.good_steps.assign(tf.where(grows, 0, good))
