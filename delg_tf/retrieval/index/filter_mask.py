"""Which rows of a table pass a filter."""

import functools
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from delg_tf.common.errors import InputError
from delg_tf.retrieval.index.filters import (
    And,
    Compare,
    Contains,
    Filter,
    IsIn,
    IsNull,
    Near,
    Not,
    Or,
    StartsWith,
    Value,
)

# Mean radius; the sphere is within 0.6 % of the ellipsoid.
_EARTH_KM = 6371.0088

_COMPARE = {
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


def filter_mask(condition: Filter, table: pa.Table) -> np.ndarray:
    """Finds the rows that pass.

    Args:
        condition: the filter.
        table: N rows, with all columns that may be named.

    Returns:
        bool [N].

    Raises:
        InputError: a column is unknown, or of another type than its value.
    """
    result = _rows(condition, table)
    if isinstance(result, pa.ChunkedArray):
        result = result.combine_chunks()
    filled = pc.fill_null(result, False)
    return filled.to_numpy(zero_copy_only=False).astype(bool)


def _rows(condition: Filter, table: pa.Table) -> pa.ChunkedArray | pa.Array:
    """Returns a boolean a row, null where nothing can be said."""
    match condition:
        case And(parts):
            return _joined(pc.and_kleene, parts, table)
        case Or(parts):
            return _joined(pc.or_kleene, parts, table)
        case Not(part):
            return pc.invert(_rows(part, table))
        case IsNull(column):
            return pc.is_null(_column(table, column), nan_is_null=True)
        case Compare():
            return _compare(condition, table)
        case IsIn(column, members):
            parts = tuple(Compare(column, "==", value) for value in members)
            return _joined(pc.or_kleene, parts, table)
        case StartsWith(column, text):
            return pc.starts_with(_text_column(table, column), text)
        case Contains(column, text):
            return pc.match_substring(_text_column(table, column), text)
        case Near():
            return _near(condition, table)
    raise TypeError(f"`condition` must be a filter. Received: {condition!r}.")


def _joined(
    join: Callable, parts: tuple[Filter, ...], table: pa.Table
) -> pa.ChunkedArray | pa.Array:
    return functools.reduce(join, (_rows(part, table) for part in parts))


def _compare(condition: Compare, table: pa.Table) -> pa.ChunkedArray | pa.Array:
    values = _column(table, condition.column)
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), pa.bool_())
    value = _scalar(condition.column, values, condition.value)
    return _COMPARE[condition.operator](values, value)


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise InputError(
            f"The index has no column {name!r}; it has "
            f"{', '.join(map(repr, table.column_names))}."
        )
    return table.column(name)


def _text_column(table: pa.Table, name: str) -> pa.ChunkedArray:
    values = _column(table, name)
    if pa.types.is_null(values.type):
        return values.cast(pa.string())
    if not _is_text(values.type):
        raise InputError(
            f"The column {name!r} holds no text but {values.type}."
        )
    return values


def _scalar(name: str, values: pa.ChunkedArray, value: Value) -> pa.Scalar:
    """Returns a value to compare a column with."""
    kind = values.type
    numbers = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    fits = {
        bool: pa.types.is_boolean(kind),
        str: _is_text(kind) or pa.types.is_temporal(kind),
        int: numbers,
        float: numbers,
    }[type(value)]
    try:
        if not fits:
            raise ValueError("types differ")
        if pa.types.is_temporal(kind):
            return pa.scalar(value).cast(kind)
        return pa.scalar(value)
    except (pa.ArrowException, OverflowError, ValueError) as error:
        raise InputError(
            f"The column {name!r} holds {kind}; it cannot be compared with "
            f"{value!r}."
        ) from error


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _near(condition: Near, table: pa.Table) -> pa.Array:
    degrees = []
    for name in (condition.latitude_column, condition.longitude_column):
        values = _column(table, name)
        try:
            values = values.cast(pa.float64())
        except pa.ArrowException as error:
            raise InputError(
                f"The column {name!r} holds no degrees but {values.type}."
            ) from error
        # What is null becomes NaN.
        degrees.append(values.to_numpy())
    latitude, longitude = np.radians(degrees)
    there = np.radians([condition.latitude, condition.longitude])
    # Haversine formula, which is accurate at small distances too.
    square = (
        np.sin((latitude - there[0]) / 2) ** 2
        + np.cos(latitude)
        * np.cos(there[0])
        * np.sin((longitude - there[1]) / 2) ** 2
    )
    distance = 2 * _EARTH_KM * np.arcsin(np.sqrt(np.clip(square, 0, 1)))
    return pa.array(distance <= condition.kilometres, mask=np.isnan(distance))
