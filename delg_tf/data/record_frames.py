"""The frames of a TFRecord file, found without reading what is in them.

A frame is the data's length (8 bytes, little endian), that length's masked
CRC-32C (4 bytes), the data, and the data's masked CRC-32C (4 bytes).
"""

import contextlib
import dataclasses
import functools
import itertools
import mmap
import os
import struct
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import tensorflow as tf

HEADER = struct.Struct("<QI")
FRAME_BYTES = HEADER.size + 4
# Checksums are verified for so many frames at once.
_BLOCK_FRAMES = 4096
# Castagnoli's polynomial, bits reversed; the mask is TFRecord's.
_POLYNOMIAL = 0x82F63B78
_MASK_DELTA = 0xA282EAD8


class Bytes(Protocol):
    """A file's content; slices of it are read when they are asked for."""

    def __getitem__(self, part: slice) -> bytes: ...

    def __len__(self) -> int: ...


@dataclasses.dataclass(frozen=True)
class Damage:
    """Records of a file that cannot be read.

    Attributes:
        path: the file.
        offset: the first frame's, in bytes.
        reason: what is wrong.
        records: how many; an estimate where the rest of the file is lost.
    """

    path: str
    offset: int
    reason: str
    records: int = 1

    def __str__(self) -> str:
        return f"{self.path}, byte {self.offset}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class Frames:
    """The frames at the beginning of a file that are sound.

    Attributes:
        offsets: int64 [N], where each frame begins.
        lengths: int64 [N], bytes of its data.
        damage: why no more frames were found; None at the end of the file.
    """

    offsets: np.ndarray
    lengths: np.ndarray
    damage: Damage | None


def find_frames(path: str) -> Frames:
    """Walks over a record file by its lengths, whose checksums are verified.

    Args:
        path: also gs:// and the like.
    """
    parts = [np.zeros((0, 2), np.int64)]
    damage = None
    with open_bytes(path) as data:
        size = len(data)
        walk = _walk(data)
        while damage is None and (
            block := list(itertools.islice(walk, _BLOCK_FRAMES))
        ):
            frames = np.array(block, np.uint64)
            wrong = masked_crc_of_lengths(frames[:, 1]) != frames[:, 2]
            if wrong.any():
                frames = frames[: np.argmax(wrong)]
                reason = "the length's checksum is wrong; the rest is lost"
                damage = Damage(path, block[len(frames)][0], reason)
            parts.append(frames[:, :2].astype(np.int64))
    frames = np.concatenate(parts)
    if damage is None:
        frames, damage = _complete(path, frames, size)
    if damage is not None and len(frames):
        mean = frames[:, 1].mean() + FRAME_BYTES
        records = max(1, round((size - damage.offset) / mean))
        damage = dataclasses.replace(damage, records=records)
    return Frames(frames[:, 0], frames[:, 1], damage)


def _walk(data: Bytes) -> Iterator[tuple[int, int, int]]:
    """Yields (offset, length, checksum) of frames that begin in the data."""
    offset, size = 0, len(data)
    while offset + HEADER.size <= size:
        length, checksum = HEADER.unpack(data[offset : offset + HEADER.size])
        yield offset, length, checksum
        offset += FRAME_BYTES + length


def _complete(
    path: str, frames: np.ndarray, size: int
) -> tuple[np.ndarray, Damage | None]:
    """Drops a last frame that reaches beyond the end of the file."""
    end = frames[-1].sum() + FRAME_BYTES if len(frames) else 0
    if end == size:
        return frames, None
    if end > size:
        end, frames = frames[-1, 0], frames[:-1]
    return frames, Damage(path, int(end), "the file ends inside this record")


def masked_crc_of_lengths(lengths: np.ndarray) -> np.ndarray:
    """Returns the masked CRC-32C of numbers as 8 bytes, little endian.

    Args:
        lengths: uint64 [N].

    Returns:
        uint32 [N].
    """
    octets = lengths.astype("<u8").view(np.uint8).reshape(-1, 8)
    crc = np.full(len(lengths), 0xFFFFFFFF, np.uint32)
    for column in octets.T:
        crc = _crc_table()[(crc ^ column) & 0xFF] ^ (crc >> 8)
    crc = ~crc
    return ((crc >> 15) | (crc << 17)) + np.uint32(_MASK_DELTA)


@functools.cache
def _crc_table() -> np.ndarray:
    """CRC-32C of each byte, uint32 [256]."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> 1) ^ np.where(table & 1, np.uint32(_POLYNOMIAL), 0)
    return table.astype(np.uint32)


def is_record_header(header: bytes) -> bool:
    """Whether a file that begins with these bytes can be a TFRecord file."""
    if len(header) < HEADER.size:
        return True  # Cut off very early; nothing tells.
    length, checksum = HEADER.unpack(header[: HEADER.size])
    crc = masked_crc_of_lengths(np.array([length], np.uint64))
    return int(crc[0]) == checksum


@contextlib.contextmanager
def open_bytes(path: str) -> Iterator[Bytes]:
    """Opens a file for reading here and there."""
    if os.path.isfile(path):
        with open(path, "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                yield b""  # Nothing cannot be mapped.
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield data
    else:
        with tf.io.gfile.GFile(path, "rb") as file:
            yield _RemoteBytes(file)


class _RemoteBytes:
    """Slices of a file that only TensorFlow can open."""

    def __init__(self, file: tf.io.gfile.GFile):
        self._file = file
        self._size = file.size()

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        begin, end, _ = part.indices(self._size)
        self._file.seek(begin)
        return self._file.read(end - begin)
