"""Finds the record whose image cannot be decoded.

That is known only when everything is decoded, which takes as long as an epoch.
So it is done when training has met such an image, not before the first step.
"""

import dataclasses
import re

import numpy as np
import tensorflow as tf

from delg_tf.common.progress import Progress
from delg_tf.data import record_frames
from delg_tf.data.augmentation import decoded_whole
from delg_tf.data.record_check import RecordIndex
from delg_tf.data.record_source import RecordSource
from delg_tf.data.records import parse_example


@dataclasses.dataclass(frozen=True)
class BadImage:
    """A record whose image cannot be decoded.

    Attributes:
        path: the record file.
        record: its position among the file's records, from 0.
        offset: byte at which its frame begins.
        image_id: empty if the record has none.
        reason: TensorFlow's.
    """

    path: str
    record: int
    offset: int
    image_id: str
    reason: str

    def __str__(self) -> str:
        name = f"image {self.image_id}" if self.image_id else "an image"
        return (
            f"{self.path}, record {self.record} (counted from 0, at byte "
            f"{self.offset}): {name} cannot be decoded: {self.reason}"
        )


def find_bad_image(index: RecordIndex, crops: bool) -> BadImage | None:
    """Decodes images, whole ones, up to the first that cannot be.

    Args:
        index: the records.
        crops: see `decoded_whole`.

    Returns:
        That one; None if all can be decoded.
    """
    source = RecordSource(index.pattern, index)
    records = tf.data.Dataset.range(source.segments).flat_map(source.read)
    images = records.map(
        lambda record: _size(record, crops),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    done = 0
    with Progress(index.images, "Decoding images", "image") as progress:
        try:
            for _ in images:
                done += 1
                progress.advance()
        except tf.errors.InvalidArgumentError:
            return _describe(index, done, crops)
    return None


def _size(record: tf.Tensor, crops: bool) -> tf.Tensor:
    """An image's shape, for which it is decoded."""
    return tf.shape(
        decoded_whole(parse_example(record)["image/encoded"], crops)
    )


def _describe(index: RecordIndex, number: int, crops: bool) -> BadImage:
    """The record with a number among those of the index."""
    ends = np.cumsum(index.counts)
    segment = int(np.searchsorted(ends, number, side="right"))
    path = index.paths[segment]
    frames = record_frames.find_frames(path)
    # A segment's records follow each other.
    first = int(np.searchsorted(frames.offsets, index.offsets[segment]))
    place = first + number - int(ends[segment] - index.counts[segment])
    offset = int(frames.offsets[place])
    begin = offset + record_frames.HEADER.size
    with record_frames.open_bytes(path) as data:
        record = data[begin : begin + int(frames.lengths[place])]
    return BadImage(
        path, place, offset, _image_id(record), _reason(record, crops)
    )


def _image_id(record: bytes) -> str:
    # Not `parse_example`, which fails where the image is missing altogether.
    example = tf.train.Example.FromString(record)
    values = example.features.feature["image/id"].bytes_list.value
    return values[0].decode("utf-8", "replace") if values else ""


def _reason(record: bytes, crops: bool) -> str:
    """What TensorFlow says, without the names of its operations."""
    try:
        _size(tf.constant(record), crops)
    except tf.errors.InvalidArgumentError as error:
        message = re.sub(r"\{\{.*?\}\}", "", error.message)
        return message.partition("[Op:")[0].strip().rstrip(".") + "."
    return "it failed only once."
