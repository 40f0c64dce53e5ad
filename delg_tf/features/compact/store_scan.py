"""Finding the record batches of a store's file, whatever became of it.

The file is an Arrow IPC stream: a schema message, then a message a batch.
Messages are found by their heads; bodies stay on disk. A file that a crash or
a full disk cut off ends in a part of a message; that part is no loss, as
the images in it were not yet promised. Damage further up is passed over: the
next message that reads well, checksums and all, goes on.
"""

import dataclasses

import numpy as np
import pyarrow as pa

from delg_tf.features.compact.store_rows import row_global, row_local

# Every message begins so, at a multiple of 8 bytes.
_CONTINUATION = 0xFFFFFFFF
_ALIGNMENT = 8
# Words searched at a time.
_WORDS = 1 << 20

_UNREADABLE = (pa.ArrowException, OSError, EOFError, ValueError)


@dataclasses.dataclass(frozen=True, eq=False)
class StoreScan:
    """What was found in a file.

    Attributes:
        schema: of the batches.
        batches: views of the mapped file. Names are checked to lie within;
            other columns are not yet (`pa.RecordBatch.validate`).
        end: bytes up to the end of the last batch.
        size: bytes of the file.
        damaged: (first byte, byte after) of damage before `end`.
    """

    schema: pa.Schema
    batches: list[pa.RecordBatch]
    end: int
    size: int
    damaged: list[tuple[int, int]]


def scan_store(source: pa.MemoryMappedFile) -> StoreScan | None:
    """Finds all batches; None if the file does not start with a schema."""
    size = source.size()
    source.seek(0)
    try:
        message = pa.ipc.read_message(source)
        schema = pa.ipc.read_schema(message)
    except _UNREADABLE:
        return None
    position = end = source.tell()
    batches: list[pa.RecordBatch] = []
    damaged = []
    while position < size:
        found = _batch_at(source, schema, position)
        if found is None:
            start, position = position, _next_sound(source, schema, position)
            if position < size:
                damaged.append((start, position))
            continue
        batches.append(found)
        position = end = source.tell()
    return StoreScan(schema, batches, end, size, damaged)


def is_sound(batch: pa.RecordBatch, local_format: str | None) -> list[bool]:
    """Returns which rows are as they were written; reads all their bytes."""
    try:
        batch.validate(full=True)
    except _UNREADABLE:
        return [False] * batch.num_rows
    sound = []
    for row in range(batch.num_rows):
        try:
            row_global(batch, row)
            row_local(batch, row, local_format or "float32")
            sound.append(True)
        except _UNREADABLE:
            sound.append(False)
    return sound


def _batch_at(
    source: pa.MemoryMappedFile, schema: pa.Schema, position: int
) -> pa.RecordBatch | None:
    source.seek(position)
    try:
        message = pa.ipc.read_message(source)
        if message.type != "record batch":
            return None
        batch = pa.ipc.read_record_batch(message, schema)
        batch.column("name").validate(full=True)
    except _UNREADABLE:
        return None
    return batch if batch.num_rows else None


def _next_sound(
    source: pa.MemoryMappedFile, schema: pa.Schema, position: int
) -> int:
    """Returns where the next sound batch starts; the file's size if nowhere."""
    size = source.size()
    source.seek(0)
    # A view of the mapping.
    whole = source.read_buffer(size)
    words = np.frombuffer(whole, "<u4", size // 4)[:: _ALIGNMENT // 4]
    local_format = schema.metadata[b"local_format"].decode()
    first = position // _ALIGNMENT + 1
    for start in range(first, len(words), _WORDS):
        block = words[start : start + _WORDS]
        for word in np.flatnonzero(block == _CONTINUATION):
            candidate = (start + int(word)) * _ALIGNMENT
            batch = _batch_at(source, schema, candidate)
            if batch is not None and all(is_sound(batch, local_format)):
                return candidate
    return size
