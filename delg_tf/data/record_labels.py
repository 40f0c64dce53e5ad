"""Labels of records, found without reading the images beside them.

A record is a `tf.train.Example`: a map from keys to features, each an entry
with its length in front. Entries are passed over by their lengths until the
label's comes. Records that are built in another way, which protobuf allows, are
parsed as a whole.
"""

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from delg_tf.data.record_frames import HEADER, Bytes, Damage, Frames, open_bytes

KEY = "image/class/label"
# Tags of a field with a length in front: (number << 3) | 2.
_FIELD_1, _FIELD_2, _FIELD_3 = 0x0A, 0x12, 0x1A
# An entry without an image fits, so that it is read at once.
_WINDOW = 96
# The entry from its key on, up to the lengths of feature, list and values.
_LABEL_ENTRY = bytes([_FIELD_1, len(KEY)]) + KEY.encode()


class _Unusual(Exception):  # noqa: N818 (no error)
    """The record is built in another way."""


def read_labels(path: str, frames: Frames) -> tuple[np.ndarray, list[Damage]]:
    """Returns the label of each record.

    Args:
        path: the record file.
        frames: its frames.

    Returns:
        int64 [N], -1 for records without one label, and what is wrong with
        these, in the order of the file.
    """
    labels = np.full(len(frames.offsets), -1, np.int64)
    damages = []
    with open_bytes(path) as data:
        begins = (frames.offsets + HEADER.size).tolist()
        for i, (begin, length) in enumerate(
            zip(begins, frames.lengths.tolist())
        ):
            end = begin + length
            try:
                labels[i] = _label(data, begin, end)
            except (_Unusual, IndexError):
                try:
                    labels[i] = _parsed_label(data[begin:end])
                except ValueError as error:
                    damages.append(
                        Damage(path, int(frames.offsets[i]), str(error))
                    )
    return labels, damages


def _parsed_label(record: bytes) -> int:
    """Returns the label of a record of any build.

    Raises:
        ValueError: the record is no example with one label.
    """
    try:
        example = tf.train.Example.FromString(record)
    except DecodeError:
        raise ValueError("this record is no tf.train.Example") from None
    values = example.features.feature[KEY].int64_list.value
    if len(values) != 1:
        raise ValueError(f"this record has {len(values)} labels, not one")
    return values[0]


def _label(data: Bytes, begin: int, end: int) -> int:
    """Returns the label of the record at data[begin:end].

    Raises:
        _Unusual, IndexError: it is not found by this way.
    """
    window = data[begin : min(begin + _WINDOW, end)]
    length, position = _length(window, 0, _FIELD_1)
    entry = begin + position
    if entry + length != end:
        raise _Unusual
    while entry < end:
        window = data[entry : min(entry + _WINDOW, end)]
        length, position = _length(window, 0, _FIELD_1)
        if window.startswith(_LABEL_ENTRY, position):
            stop = position + length
            if stop > len(window):
                raise _Unusual
            return _value(window, position + len(_LABEL_ENTRY), stop)
        entry += position + length
    raise _Unusual


def _value(window: bytes, position: int, stop: int) -> int:
    """Returns the only number of a packed int64 list in a feature."""
    for field in (_FIELD_2, _FIELD_3, _FIELD_1):
        length, position = _length(window, position, field)
        if position + length != stop:
            raise _Unusual
    value, position = _varint(window, position)
    if position != stop:
        raise _Unusual
    return value - (1 << 64) if value >> 63 else value


def _length(window: bytes, position: int, tag: int) -> tuple[int, int]:
    """Reads a tag and a length; returns the length and what follows."""
    if window[position] != tag:
        raise _Unusual
    return _varint(window, position + 1)


def _varint(window: bytes, position: int) -> tuple[int, int]:
    """Reads a number of 7 bits a byte, the lowest first."""
    value = shift = 0
    while True:
        byte = window[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise _Unusual
