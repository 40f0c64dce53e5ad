"""TensorFlow's errors about records, in words that help."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.data.image_check import find_bad_image
from delg_tf.data.record_check import check_record_files
from delg_tf.training.inputs import Records


@contextlib.contextmanager
def input_errors(records: Records) -> Iterator[None]:
    """Turns TensorFlow's errors about records into clear ones.

    Args:
        records: those that are read in the block.

    Raises:
        InputError: names the record that cannot be read, if there is one.
    """
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
        pipeline = records.pipeline
        logging.error(
            "The input failed. Looking for the reason in %s.",
            pipeline.file_pattern,
        )
        _blame_a_record(records)
        raise InputError(
            f"A record of {pipeline.file_pattern} is damaged or does not fit"
            f"{_or_its_copy(pipeline.cache)}: {error.message}"
        ) from error


def _blame_a_record(records: Records) -> None:
    """Raises InputError if something is wrong with a record by itself."""
    pipeline = records.pipeline
    index = check_record_files(
        pipeline.file_pattern,
        pipeline.max_bad_records,
        pipeline.num_classes,
        labels=True,
        data=True,
    )
    bad = find_bad_image(index, crops=pipeline.augment)
    if bad is not None:
        raise InputError(
            f"{bad} Build the records again: tools/build_tfrecords.py leaves "
            "out, and lists, images that cannot be decoded. (--max_bad_records "
            "is of no help: it is about records, not about what is in them.)"
        )


def _or_its_copy(cache: str | None) -> str:
    return f" (or its copy; remove {cache} and try again)" if cache else ""
