"""The records of training: one `tf.train.Example` an image."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

import tensorflow as tf
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.data import record_frames, shards

# As of `tf.data.TFRecordDataset`.
_READ_BYTES = 256 << 10


def encode_example(
    jpeg: bytes,
    image_id: bytes,
    height: int,
    width: int,
    label: int | None = None,
) -> bytes:
    """Returns a serialized `tf.train.Example` with the official keys.

    Args:
        jpeg: an RGB JPEG.
        image_id: identifier, the file name without extension.
        height: pixels.
        width: pixels.
        label: class, from 0; None for test images, whose records have none.
    """
    feature = {
        "image/height": _int64(height),
        "image/width": _int64(width),
        "image/colorspace": _bytes(b"RGB"),
        "image/channels": _int64(3),
        "image/format": _bytes(b"JPEG"),
        "image/id": _bytes(image_id),
        "image/encoded": _bytes(jpeg),
    }
    if label is not None:
        feature["image/class/label"] = _int64(label)
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    # Map entries have no order of their own; this makes equal bytes.
    return example.SerializeToString(deterministic=True)


def _int64(value: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def parse_example(
    serialized: tf.Tensor, labelled: bool = True
) -> dict[str, tf.Tensor]:
    """Parses one record, ours or the official builder's.

    Args:
        serialized: string scalar.
        labelled: whether a label is required. The official reader gives class
            0 to records without one; here they are an error.

    Returns:
        Scalars by key: "image/encoded", "image/id", "image/format",
        "image/colorspace" (string), "image/height", "image/width",
        "image/channels" and, if labelled, "image/class/label" (int64). Only
        the encoded image and the label are required; others that a record
        lacks are 0 or empty.

    Raises:
        tf.errors.InvalidArgumentError: no record, or a required key missing.
    """

    def optional(dtype: tf.DType) -> tf.io.FixedLenFeature:
        default = "" if dtype == tf.string else 0
        return tf.io.FixedLenFeature([], dtype, default_value=default)

    features = {
        "image/height": optional(tf.int64),
        "image/width": optional(tf.int64),
        "image/colorspace": optional(tf.string),
        "image/channels": optional(tf.int64),
        "image/format": optional(tf.string),
        "image/id": optional(tf.string),
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
    }
    if labelled:
        features["image/class/label"] = tf.io.FixedLenFeature([], tf.int64)
    return tf.io.parse_single_example(serialized, features)


@contextlib.contextmanager
def atomic_record_writer(
    path: str | os.PathLike,
) -> Iterator[tf.io.TFRecordWriter]:
    """Opens a record file that appears under its name only when complete.

    The temporary file has a fixed name: what a killed run leaves behind is
    overwritten by the next one. So only one process may write a file.

    Args:
        path: the record file.

    Yields:
        The writer.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            yield writer
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def find_record_files(pattern: str) -> list[str]:
    """Returns the record files that a glob pattern matches, sorted.

    Where names like train-00000-of-00128 match, files with other names are
    left out, so that the official pattern `train*` does not read a train.csv
    beside them. Missing shards are reported as a warning, because a part of
    the data may be wanted.

    Args:
        pattern: for example data/train*; also gs:// and the like.

    Raises:
        InputError: no file matches, all are empty, one is no TFRecord file,
            or the shards belong to several builds.
    """
    matches = sorted(tf.io.gfile.glob(pattern))
    found = [path for path in matches if not tf.io.gfile.isdir(path)]
    if not found:
        raise InputError(
            f"No file matches {pattern}. Quote the pattern in a shell, and "
            "build the records with tools/build_tfrecords.py."
        )
    named = {
        path: match
        for path in found
        if (match := shards.SHARD_NAME.match(os.path.basename(path)))
    }
    if named:
        _check_shard_names(pattern, list(named.values()))
        found = list(named)
    sizes = [_checked_size(path) for path in found]
    if not any(sizes):
        raise InputError(
            f"All {len(found)} files of {pattern} are empty. Build the records "
            "again with tools/build_tfrecords.py."
        )
    return found


def _check_shard_names(pattern: str, names: list) -> None:
    """Checks that shards belong together; `names` are their matches."""
    counts: dict[str, set[int]] = {}
    for name in names:
        counts.setdefault(name[1], set()).add(int(name[3]))
    for split, totals in counts.items():
        if len(totals) > 1:
            raise InputError(
                f"{pattern} matches {split} shards of several builds: of "
                f"{' and of '.join(str(i) for i in sorted(totals))}. Remove "
                "the old ones or narrow the pattern."
            )
        present = sum(name[1] == split for name in names)
        if present < max(totals):
            logging.warning(
                "%s matches only %d of %d %s shards.",
                pattern,
                present,
                max(totals),
                split,
            )


def _checked_size(path: str) -> int:
    """Returns the length in bytes of a file that may hold TFRecords."""
    size = tf.io.gfile.stat(path).length
    if size:
        with tf.io.gfile.GFile(path, "rb") as file:
            header = file.read(record_frames.HEADER.size)
        if not record_frames.is_record_header(header):
            raise InputError(
                f"{path} is damaged or no (uncompressed) TFRecord file. "
                "Remove it and build the records again."
            )
    return size


def segment_records(
    path: tf.Tensor, offset: tf.Tensor, count: tf.Tensor
) -> tf.data.Dataset:
    """Reads some records of a file that follow each other.

    For functions of `flat_map` and `interleave`: TensorFlow 2.21 cannot save
    the graph of such a data set if it is not inside another one's.

    Args:
        path: string scalar.
        offset: int64 scalar, the byte at which the first one's frame begins.
        count: int64 scalar, how many; -1 for all.

    Returns:
        Their data, string scalars.
    """
    variant = tf.raw_ops.TFRecordDatasetV2(
        filenames=[path],
        compression_type="",
        buffer_size=_READ_BYTES,
        byte_offsets=[offset],
    )
    spec = tf.TensorSpec((), tf.string)
    return tf.data.experimental.from_variant(variant, spec).take(count)
