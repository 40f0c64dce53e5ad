"""Looks over the records of training before the first step."""

import concurrent.futures
import dataclasses
import os
import pathlib
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.progress import track
from delg_tf.data import dataset_info, record_frames, record_labels, shards
from delg_tf.data.record_frames import Damage, Frames
from delg_tf.data.records import find_record_files, segment_records

# Files of so many bytes together are read to verify the data's checksums,
# which takes a few seconds; larger sets only when asked for.
DATA_CHECK_BYTES = 2 << 30
# Threads hide the latency of disks and networks.
_THREADS = 16
# Fewer are looked over without a progress bar.
_FEW_FILES = 16
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class RecordIndex:
    """The records that can be read, in the order of the files.

    Attributes:
        pattern: glob of the files.
        paths: file of each segment [S]: of records without damage between
            them. Every file has a segment, an empty one too.
        offsets: int64 [S], byte at which a segment begins.
        counts: int64 [S], its records.
        labels: int64 [N], of the records of all segments; None if they were
            not read.
        damages: what the segments leave out.
    """

    pattern: str
    paths: list[str]
    offsets: np.ndarray
    counts: np.ndarray
    labels: np.ndarray | None
    damages: list[Damage]

    @property
    def images(self) -> int:
        """Number of records that can be read."""
        return int(self.counts.sum())

    def class_counts(self, num_classes: int) -> np.ndarray:
        """Returns the number of records of each class, int64 [num_classes].

        Raises:
            ValueError: the labels were not read.
        """
        if self.labels is None:
            raise ValueError("`labels` must have been read. Received: None.")
        return np.bincount(self.labels, minlength=num_classes)


@dataclasses.dataclass
class _File:
    """A record file while it is looked over.

    `bad` holds positions of records that cannot be used.
    """

    path: str
    frames: Frames
    labels: np.ndarray | None = None
    damages: list[Damage] = dataclasses.field(default_factory=list)
    bad: set[int] = dataclasses.field(default_factory=set)

    def leave_out(self, damages: list[Damage]) -> None:
        self.damages += damages
        offsets = [damage.offset for damage in damages]
        found = np.searchsorted(self.frames.offsets, offsets)
        self.bad.update(found.tolist())

    @property
    def bytes(self) -> int:
        return int(self.frames.lengths.sum())

    def good(self) -> np.ndarray:
        keep = np.ones(len(self.frames.offsets), bool)
        keep[sorted(self.bad)] = False
        return keep


def check_record_files(
    pattern: str,
    max_bad_records: int = 0,
    num_classes: int | None = None,
    labels: bool = False,
    data: bool | None = None,
) -> RecordIndex:
    """Finds the records that can be read, and complains about others.

    The frames of all files are walked over. Labels are read without the
    images; where `dataset_info.json` beside the files agrees in the number of
    records, its number of classes stands for them.

    Args:
        pattern: glob of TFRecord files; see `find_record_files`.
        max_bad_records: so many may be truncated, corrupt or without a label.
        num_classes: labels must be in [0, num_classes). None: labels are not
            looked at.
        labels: whether the index must have the labels.
        data: whether the data's checksums are verified, for which everything
            is read. None: if `max_bad_records` is positive, or there are at
            most `DATA_CHECK_BYTES`.

    Returns:
        What there is to read.

    Raises:
        InputError: no file matches; there are no records, or more bad ones
            than `max_bad_records`; or a label is out of range.
    """
    start = time.monotonic()
    paths = find_record_files(pattern)
    frames = _parallel(record_frames.find_frames, paths, "Looking at records")
    checked = [_File(path, found) for path, found in zip(paths, frames)]
    for file in checked:
        file.damages += [file.frames.damage] if file.frames.damage else []
    promised, classes = _split_info(pattern, paths)
    if data is None:
        total = sum(file.bytes for file in checked)
        data = max_bad_records > 0 or total <= DATA_CHECK_BYTES
    if data:
        _parallel(_check_data, checked, "Verifying records")
    found = sum(int(file.good().sum()) for file in checked)
    if labels or (num_classes and (found != promised or classes > num_classes)):
        _parallel(_read_labels, checked, "Reading labels")
    index = _index(pattern, checked)
    _judge(index, max_bad_records, promised)
    if num_classes and index.labels is not None:
        _check_labels(checked, num_classes)
    logging.info(
        "%s: %d records in %d files, looked over in %.1f s.",
        pattern,
        index.images,
        len(paths),
        time.monotonic() - start,
    )
    return index


def _parallel(work: Callable, items: list, title: str) -> list:
    """Applies `work` to all items, in threads."""
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        if len(items) < _FEW_FILES:
            return list(pool.map(work, items))
        return list(track(pool.map(work, items), title, "file", len(items)))


def _split_info(pattern: str, paths: list[str]) -> tuple[int, int]:
    """Images and classes of these files by `dataset_info.json`; 0, 0: none."""
    folder = pathlib.Path(pattern).parent
    if not (folder / dataset_info.FILE_NAME).is_file():
        return 0, 0
    names = [shards.SHARD_NAME.match(os.path.basename(path)) for path in paths]
    splits = {name and name[1] for name in names}
    info = dataset_info.load_dataset_info(folder)
    split = info.splits.get(splits.pop())
    if splits or split is None or split.shards != len(paths):
        return 0, 0
    return split.images, info.num_classes


def _check_data(file: _File) -> None:
    """Leaves out the records whose data disagrees with its checksum."""
    offsets, begin = file.frames.offsets, 0
    segment = _segment(file.path, 0, len(offsets))
    try:
        segment.reduce(np.int64(0), lambda count, _: count + 1).numpy()
        return
    except tf.errors.DataLossError:
        pass
    while begin < len(offsets):
        segment = _segment(file.path, offsets[begin], len(offsets) - begin)
        try:
            for _ in segment:
                begin += 1
        except tf.errors.DataLossError:
            reason = "the data's checksum is wrong"
            damage = Damage(file.path, int(offsets[begin]), reason)
            file.leave_out([damage])
            begin += 1


def _segment(path: str, offset: int, count: int) -> tf.data.Dataset:
    parts = (path, np.int64(offset), np.int64(count))
    return tf.data.Dataset.from_tensors(parts).flat_map(segment_records)


def _read_labels(file: _File) -> None:
    file.labels, damages = record_labels.read_labels(file.path, file.frames)
    known = {damage.offset for damage in file.damages}
    file.leave_out([found for found in damages if found.offset not in known])


def _index(pattern: str, checked: list[_File]) -> RecordIndex:
    """Puts together what can be read."""
    segments, labels = [], []
    for file in checked:
        good = file.good()
        # Edges between records that can be read and others.
        edges = np.flatnonzero(np.diff(good, prepend=False, append=False))
        runs = edges.reshape(-1, 2).tolist() or [[0, 0]]
        for begin, end in runs:
            offset = file.frames.offsets[begin] if end else 0
            segments.append((file.path, int(offset), end - begin))
        if file.labels is not None:
            labels.append(file.labels[good])
    paths, offsets, counts = zip(*segments)
    return RecordIndex(
        pattern,
        list(paths),
        np.array(offsets, np.int64),
        np.array(counts, np.int64),
        np.concatenate(labels) if labels else None,
        [damage for file in checked for damage in file.damages],
    )


def _judge(index: RecordIndex, max_bad_records: int, promised: int) -> None:
    """Stops if there are too many bad records, or no good ones."""
    lost = sum(damage.records for damage in index.damages)
    reasons = [str(damage) for damage in index.damages]
    if promised > index.images:
        lost = max(lost, promised - index.images)
        reasons.append(
            f"{dataset_info.FILE_NAME} tells of {promised} records, of which "
            f"{index.images} are there"
        )
    listed = "".join(f"\n  {reason}" for reason in reasons[:_SHOWN])
    if len(reasons) > _SHOWN:
        listed += f"\n  and {len(reasons) - _SHOWN} more places"
    if lost > max_bad_records:
        raise InputError(
            f"{index.pattern}: about {lost} records are damaged or missing, "
            f"and max_bad_records is {max_bad_records}.{listed}\nBuild these "
            "files again, or raise --max_bad_records to leave these records "
            "out."
        )
    if lost:
        logging.warning(
            "%s: about %d records are damaged or missing and left out.%s",
            index.pattern,
            lost,
            listed,
        )
    if not index.images:
        raise InputError(
            f"There are no records in {index.pattern}. Build them again with "
            "tools/build_tfrecords.py."
        )


def _check_labels(checked: list[_File], num_classes: int) -> None:
    for file in checked:
        out = (file.labels < 0) | (file.labels >= num_classes)
        wrong = np.flatnonzero(out & file.good())
        if wrong.size:
            raise InputError(
                f"{file.path}, byte {file.frames.offsets[wrong[0]]}: the label "
                f"{file.labels[wrong[0]]} is not below the number of classes, "
                f"{num_classes}, or negative. Set --num_classes to the number "
                "that the records were built with, or build them again."
            )
