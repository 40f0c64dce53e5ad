"""TensorFlow's errors about records, in words that help."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from delg_tf.common.errors import InputError
from delg_tf.data.record_check import check_record_files


@contextlib.contextmanager
def input_errors(pattern: str) -> Iterator[None]:
    """Turns TensorFlow's errors about records into clear ones.

    Args:
        pattern: glob of the records that are read in the block.
    """
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
        # Names the file and the place, if the records are to blame.
        check_record_files(pattern, data=True)
        raise InputError(
            f"A record of {pattern} is damaged or does not fit: {error.message}"
        ) from error
