"""The strategy that a run is distributed by."""

import tensorflow as tf

from delg_tf.common.errors import InputError


def make_strategy(replicas: int | None = None) -> tf.distribute.Strategy:
    """Makes a MirroredStrategy.

    Args:
        replicas: number of devices; None: all GPUs, or the CPU. Without GPUs
            several replicas use as many logical CPUs, which
            `tf.config.set_logical_device_configuration` must have made.

    Raises:
        InputError: there are fewer devices.
    """
    gpus = tf.config.list_logical_devices("GPU")
    devices = gpus or tf.config.list_logical_devices("CPU")
    wanted = replicas or (len(gpus) if gpus else 1)
    if wanted > len(devices):
        raise InputError(
            f"`replicas` is {wanted}, but there are only {len(devices)} "
            f"{'GPUs' if gpus else 'CPU devices'}."
        )
    # The CPU default, a ring of collectives, hangs or fails as soon as two
    # strategies live in one process; and there is nothing to gain from it.
    reduce = None if gpus else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(
        [device.name for device in devices[:wanted]],
        cross_device_ops=reduce,
    )
