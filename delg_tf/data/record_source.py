"""Where an input pipeline reads its records: files, copies, or memory."""

import concurrent.futures
import hashlib
import os
import pathlib
import uuid
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl import logging

from delg_tf.data.record_check import RecordIndex
from delg_tf.data.records import find_record_files, segment_records

MEMORY = "memory"
_COPIES_AT_A_TIME = 4


class RecordSource:
    """Segments of record files, which a pipeline opens by their numbers.

    Args:
        file_pattern: glob of the files; all their records are read.
        index: instead of this, what can be read.
        cache: None; "memory": records are kept in memory once they have been
            read (for the source's lifetime); otherwise a folder on a fast
            disk, where files are copied to and found again by later runs.

    Attributes:
        segments: how many.
        firsts: int64 [segments], records in the segments before; not known
            without an index.
    """

    def __init__(
        self,
        file_pattern: str,
        index: RecordIndex | None = None,
        cache: str | None = None,
    ):
        if index is None:
            paths = find_record_files(file_pattern)
            offsets, counts = (
                np.full(len(paths), i, np.int64) for i in (0, -1)
            )
        else:
            paths, offsets, counts = index.paths, index.offsets, index.counts
        self.segments = len(paths)
        self.firsts = None if index is None else np.cumsum(counts) - counts
        if cache and cache != MEMORY:
            paths = copy_files(paths, cache)
        self._open = _opener(paths, offsets, counts)
        if cache == MEMORY:
            self._open = _remembering(self._open, len(paths))

    def read(self, segment: tf.Tensor) -> tf.data.Dataset:
        """Returns the records of a segment, string scalars.

        For functions of `flat_map` and `interleave`.

        Args:
            segment: int64 scalar, its number.
        """
        return self._open(segment)


def _opener(
    paths: list[str], offsets: np.ndarray, counts: np.ndarray
) -> Callable[[tf.Tensor], tf.data.Dataset]:
    columns = tuple(tf.constant(column) for column in (paths, offsets, counts))

    def open_segment(segment: tf.Tensor) -> tf.data.Dataset:
        return segment_records(*(column[segment] for column in columns))

    return open_segment


def _remembering(
    open_segment: Callable[[tf.Tensor], tf.data.Dataset], segments: int
) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """Opens each segment from memory from the second time on.

    A cache made within a function would last for one call. So there is one
    for each segment outside, and the function picks it by its number.
    """
    spec = tf.TensorSpec((), tf.string)
    caches = [
        tf.data.Dataset.from_tensors(np.int64(i)).flat_map(open_segment).cache()
        for i in range(segments)
    ]
    variants = tf.stack(
        [tf.data.experimental.to_variant(cached) for cached in caches]
    )

    def open_cached(segment: tf.Tensor) -> tf.data.Dataset:
        return tf.data.experimental.from_variant(variants[segment], spec)

    open_cached.keep = caches
    return open_cached


def copy_files(paths: list[str], folder: str | os.PathLike) -> list[str]:
    """Copies files to a folder, unless they are there from an earlier run.

    A copy's name has a hash of the original's path, length and time, so that
    files built anew are copied anew. Several processes may share a folder.

    Args:
        paths: also gs:// and the like; may have duplicates.
        folder: made if missing.

    Returns:
        The copies' paths, one for each of `paths`.

    Raises:
        OSError: no space is left, or the folder may not be written to.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    copies = {path: folder / _copy_name(path) for path in paths}
    missing = [path for path, copy in copies.items() if not copy.is_file()]
    logging.info(
        "%s: %d of %d files are copied to it.",
        folder,
        len(missing),
        len(copies),
    )
    with concurrent.futures.ThreadPoolExecutor(_COPIES_AT_A_TIME) as pool:
        list(pool.map(_copy, missing, (copies[path] for path in missing)))
    return [str(copies[path]) for path in paths]


def _copy_name(path: str) -> str:
    stat = tf.io.gfile.stat(path)
    identity = f"{path}\n{stat.length}\n{stat.mtime_nsec}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return f"{os.path.basename(path)}.{digest}"


def _copy(path: str, copy: pathlib.Path) -> None:
    temporary = copy.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        tf.io.gfile.copy(path, str(temporary))
        os.replace(temporary, copy)
    except tf.errors.OpError as error:
        raise OSError(f"{path} cannot be copied: {error.message}") from error
    finally:
        temporary.unlink(missing_ok=True)
