"""SGD with momentum for large classifiers."""

import tensorflow as tf
import tf_keras as keras


@keras.utils.register_keras_serializable(package="delg_tf")
class MomentumSGD(keras.optimizers.SGD):
    """Keras' SGD without the copies of variables that it takes.

    Dense gradients: the same update, `v = momentum v - rate g; w += v`, in
    place.

    Sparse gradients move their own rows only. Keras lets the momentum of all
    other rows decay and moves them, too, for which it goes over the whole
    variable. Here rows without a gradient keep place and momentum until they
    have one, as in Partial FC (An et al., CVPR 2022).

    Args:
        **kwargs: as for `keras.optimizers.SGD`.

    Raises:
        ValueError: `nesterov` is asked for.
    """

    def __init__(self, *args: object, **kwargs: object):
        super().__init__(*args, **kwargs)
        if self.nesterov:
            raise ValueError("`nesterov` must be False. Received: True")

    def update_step(
        self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable
    ) -> None:
        """Moves a variable; called by Keras, with unrepeated rows."""
        rate = tf.cast(self.learning_rate, variable.dtype)
        momentum = tf.cast(self.momentum, variable.dtype)
        slot = self.momentums[self._index_dict[self._var_key(variable)]]
        if not isinstance(gradient, tf.IndexedSlices):
            tf.raw_ops.ResourceApplyKerasMomentum(
                var=variable.handle,
                accum=slot.handle,
                lr=rate,
                grad=gradient,
                momentum=momentum,
            )
            return
        rows = gradient.indices
        velocity = momentum * tf.gather(slot, rows) - rate * gradient.values
        slot.scatter_update(tf.IndexedSlices(velocity, rows))
        variable.scatter_add(tf.IndexedSlices(velocity, rows))
