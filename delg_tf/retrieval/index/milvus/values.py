"""Names and metadata of images as Milvus keeps them, and back."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from delg_tf.common.errors import InputError
from delg_tf.common.files import readable
from delg_tf.retrieval.index.metadata import unified

# Bytes of a name, and of an image's metadata as JSON.
MAX_NAME = 4096
_MAX_JSON = 65_536
_INT64 = range(-(1 << 63), 1 << 63)
# Names that are not UTF-8 have their odd bytes, which Python reads as
# surrogates, in private-use characters instead: Milvus takes UTF-8 only.
_SURROGATES = range(0xDC80, 0xDD00)
_PRIVATE = range(0x10FF00, 0x10FF80)
_TO_KEY = dict(zip(_SURROGATES, map(chr, _PRIVATE)))
_TO_NAME = dict(zip(_PRIVATE, map(chr, _SURROGATES)))
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ODD_PREFIX = "x_"


def key_of(name: str) -> str:
    """Returns the primary key of an image.

    Raises:
        InputError: Milvus cannot hold the name.
    """
    key = name.translate(_TO_KEY)
    if any(ord(letter) in _PRIVATE for letter in name):
        raise InputError(
            f"{readable(name)!r} has characters that Milvus is given for bytes "
            "that are no text. Rename the image."
        )
    if len(key.encode()) > MAX_NAME:
        raise InputError(
            f"The name {readable(name)[:60]!r}... has more than {MAX_NAME} "
            "bytes. Rename the image."
        )
    return key


def name_of(key: str) -> str:
    """Reverts `key_of`."""
    return key.translate(_TO_NAME)


def json_key(column: str) -> str:
    """Returns the key of a column: letters, digits and _, so safe anywhere.

    Those of odd columns are their UTF-8 in hexadecimal.
    """
    if _PLAIN.fullmatch(column) and not column.startswith(_ODD_PREFIX):
        return column
    return _ODD_PREFIX + column.encode().hex()


def widened(known: pa.Schema, table: pa.Table | None) -> pa.Schema:
    """Returns the columns with those of new metadata.

    Raises:
        InputError: types do not go together, or Milvus cannot hold them.
    """
    if table is None:
        return known
    schema = unified([known, table.schema])
    for field in schema:
        _check_type(field)
        if field.name not in known.names:
            continue
        before = known.field(field.name).type
        # Dates and times are kept as whole numbers of their unit.
        if before != field.type and pa.types.is_temporal(before):
            raise InputError(
                f"The column {field.name!r} holds {before}; on Milvus it "
                f"cannot become {field.type}. Write its values alike."
            )
    return schema


def _check_type(field: pa.Field) -> None:
    kind = field.type
    if not (
        pa.types.is_null(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or (pa.types.is_temporal(kind) and not pa.types.is_interval(kind))
    ):
        raise InputError(
            f"The column {field.name!r} holds {kind}; an index on Milvus takes "
            "numbers, true and false, text, dates and times."
        )


def to_json(table: pa.Table | None, count: int) -> list[dict[str, Any]]:
    """Returns metadata of `count` images; what is null or NaN is left out.

    Raises:
        InputError: a value cannot be kept.
    """
    rows: list[dict[str, Any]] = [{} for _ in range(count)]
    if table is None:
        return rows
    for name, column in zip(table.column_names, table.columns):
        key = json_key(name)
        for row, value in zip(rows, _plain(column)):
            if value is None or value != value:
                continue
            if isinstance(value, float) and math.isinf(value):
                raise InputError(
                    f"The column {name!r} has an infinite number, which Milvus "
                    "cannot hold."
                )
            if isinstance(value, int) and value not in _INT64:
                raise InputError(
                    f"The column {name!r} has {value}, which is no 64-bit "
                    "number."
                )
            row[key] = value
    return rows


def check_size(values: dict[str, Any], name: str) -> None:
    """Checks that metadata of an image are not too long.

    Raises:
        InputError: they are.
    """
    if len(json.dumps(values, ensure_ascii=False).encode()) > _MAX_JSON:
        raise InputError(
            f"The metadata of {readable(name)} have more than {_MAX_JSON} "
            "bytes. Shorten them."
        )


def from_json(
    rows: Sequence[dict[str, Any] | None], schema: pa.Schema
) -> pa.Table:
    """Reverts `to_json`.

    Args:
        rows: metadata of N images.
        schema: the columns to return.
    """
    columns = []
    for field in schema:
        key = json_key(field.name)
        values = [(row or {}).get(key) for row in rows]
        kind = field.type
        if pa.types.is_temporal(kind):
            column = pa.array(values, _number(kind)).cast(kind)
        elif pa.types.is_floating(kind):
            values = [None if v is None else float(v) for v in values]
            column = pa.array(values, pa.float64()).cast(kind, safe=False)
        else:
            column = pa.array(values, kind)
        columns.append(column)
    return pa.table(columns, schema=schema)


def _plain(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_temporal(column.type):
        column = column.cast(_number(column.type))
    return column.to_pylist()


def _number(kind: pa.DataType) -> pa.DataType:
    """Returns the whole numbers that dates and times are."""
    return pa.int32() if kind.bit_width == 32 else pa.int64()
