"""Rows of the single-file store: images as Arrow record batches and back.

A batch holds some images. Its columns are the names (as the file system's
bytes), the global descriptors, codes and places of the local features, and
what it takes to read them. Global descriptor and local features have a
checksum each, so that one can be read without the other.
"""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from delg_tf.common.errors import InputError
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.compact.image_features import (
    GLOBAL_TYPES,
    CompactImage,
)

_UNITS = ("location_step", "scale_unit", "attention_unit")
_SMALL = struct.Struct("<I?fff")


def store_schema(
    local_format: str | None,
    global_format: str | None,
    metadata: dict[str, str],
) -> pa.Schema:
    """Returns the columns of a store."""
    number = pa.float16() if global_format == "float16" else pa.float32()
    columns = [
        pa.field("name", pa.binary(), nullable=False),
        pa.field("global_descriptor", pa.list_(number)),
        pa.field("global_checksum", pa.uint32(), nullable=False),
        pa.field("codes", pa.binary()),
        pa.field("geometry", pa.binary()),
        pa.field("depth", pa.uint32(), nullable=False),
        pa.field("oriented", pa.bool_(), nullable=False),
        *(pa.field(unit, pa.float32(), nullable=False) for unit in _UNITS),
        pa.field("local_checksum", pa.uint32(), nullable=False),
    ]
    return pa.schema(columns, metadata)


def to_batch(
    images: Sequence[tuple[bytes, CompactImage]], schema: pa.Schema
) -> pa.RecordBatch:
    """Makes a batch of (name, features) of images."""
    rows = [_to_row(name, image) for name, image in images]
    columns = [
        pa.array([row[field.name] for row in rows], field.type)
        for field in schema
    ]
    return pa.record_batch(columns, schema=schema)


def _to_row(name: bytes, image: CompactImage) -> dict:
    vector, local = image.global_descriptor, image.local
    depth, oriented, units = 0, False, (1.0, 1.0, 1.0)
    codes = places = None
    if local is not None:
        depth, oriented = local.depth, local.geometry.is_oriented
        units = local.geometry.units
        codes = local.codes.tobytes()
        places = local.geometry.table.tobytes()
    return {
        "name": name,
        "global_descriptor": vector,
        "global_checksum": _checksum(
            name, b"" if vector is None else vector.tobytes()
        ),
        "codes": codes,
        "geometry": places,
        "depth": depth,
        "oriented": oriented,
        **dict(zip(_UNITS, units)),
        "local_checksum": _checksum(
            name,
            _SMALL.pack(depth, oriented, *units),
            codes or b"",
            places or b"",
        ),
    }


def row_global(batch: pa.RecordBatch, row: int) -> np.ndarray | None:
    """Views the global descriptor of a row; None if it has none.

    Args:
        batch: validated (`pa.RecordBatch.validate(full=True)`).
        row: which.

    Raises:
        InputError: its bytes are not those that were written.
    """
    cell = batch.column("global_descriptor")[row]
    vector = None
    if cell.is_valid:
        dtype = GLOBAL_TYPES[
            "float16" if cell.type.value_type == pa.float16() else "float32"
        ]
        vector = cell.values.to_numpy(zero_copy_only=True).astype(
            dtype, copy=False
        )
    name = batch.column("name")[row].as_py()
    expected = batch.column("global_checksum")[row].as_py()
    if expected != _checksum(name, b"" if vector is None else vector.tobytes()):
        raise InputError("its global descriptor is damaged")
    return vector


def row_local(
    batch: pa.RecordBatch, row: int, local_format: str
) -> EncodedFeatures | None:
    """Views the local features of a row; None if it has none.

    Args:
        batch: validated (`pa.RecordBatch.validate(full=True)`).
        row: which.
        local_format: of the store.

    Raises:
        InputError: its bytes are not those that were written.
    """
    codes = _view(batch, "codes", row)
    places = _view(batch, "geometry", row)
    depth = batch.column("depth")[row].as_py()
    oriented = batch.column("oriented")[row].as_py()
    units = tuple(batch.column(unit)[row].as_py() for unit in _UNITS)
    name = batch.column("name")[row].as_py()
    found = _checksum(
        name,
        _SMALL.pack(depth, oriented, *units),
        b"" if codes is None else codes,
        b"" if places is None else places,
    )
    if found != batch.column("local_checksum")[row].as_py():
        raise InputError("its local features are damaged")
    if codes is None or places is None:
        return None
    return EncodedFeatures.from_buffers(
        local_format, depth, codes, places, oriented, units
    )


def _view(batch: pa.RecordBatch, column: str, row: int) -> memoryview | None:
    """Views the bytes of a cell, which its `as_buffer` would copy."""
    cells = batch.column(column)
    if cells.slice(row, 1).null_count:
        return None
    _, ends, values = cells.buffers()
    start, end = np.frombuffer(ends, np.int32)[cells.offset + row :][:2]
    return memoryview(b"" if values is None else values)[start:end]


def _checksum(*parts: bytes) -> int:
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return checksum
