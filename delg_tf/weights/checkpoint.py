"""Arrays of TensorFlow checkpoints, of either generation, by their keys."""

import numpy as np
import tensorflow as tf

from delg_tf.common.errors import InputError

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def read_checkpoint(path: str) -> dict[str, np.ndarray]:
    """Returns all numeric arrays of a checkpoint.

    Args:
        path: prefix, or single file of the oldest format.

    Raises:
        InputError: there is none, or it is damaged.
    """
    try:
        reader = tf.train.load_checkpoint(path)
        dtypes = reader.get_variable_to_dtype_map()
        return {
            name: reader.get_tensor(name)
            for name, dtype in dtypes.items()
            if dtype != tf.string
        }
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{path} cannot be read as a TensorFlow checkpoint: {error}"
        ) from error


def is_object_based(path: str) -> bool:
    """Whether a checkpoint was written by TF2 rather than TF1.

    Raises:
        InputError: it is no checkpoint.
    """
    try:
        return tf.train.load_checkpoint(path).has_tensor(OBJECT_GRAPH)
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{path} cannot be read as a TensorFlow checkpoint: {error}"
        ) from error
