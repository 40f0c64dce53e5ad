"""Metadata of images: tables of any columns, and how they are joined."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from delg_tf.common.errors import InputError
from delg_tf.retrieval.index.filters import NAME_COLUMN
from delg_tf.retrieval.index.names import some


def as_table(
    metadata: pa.Table | Mapping[str, Sequence[Any]] | None, count: int
) -> pa.Table | None:
    """Returns metadata of `count` images as a table; None for no columns.

    Raises:
        InputError: a column has values that do not fit together, or a name
            that it may not have.
        ValueError: there are more or fewer rows.
    """
    if metadata is None:
        return None
    if not isinstance(metadata, pa.Table):
        try:
            metadata = pa.table(dict(metadata))
        except pa.ArrowException as error:
            raise InputError(
                f"The metadata is no table of columns: {error}"
            ) from error
    names = metadata.column_names
    if NAME_COLUMN in names or len(set(names)) < len(names) or "" in names:
        raise InputError(
            f"Columns of metadata must have distinct names other than "
            f"{NAME_COLUMN!r}, but are {', '.join(map(repr, names))}."
        )
    if not names:
        return None
    if metadata.num_rows != count:
        raise ValueError(
            f"`metadata` must have {count} rows, one an image. Received: "
            f"{metadata.num_rows}."
        )
    return metadata.replace_schema_metadata(None)


def unified(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Returns the columns of several tables; whole numbers may become real.

    Raises:
        InputError: a column has types that do not go together.
    """
    fields: dict[str, pa.Field] = {}
    for schema in schemas:
        for field in schema:
            known = fields.get(field.name, field)
            fields[field.name] = _common(known, field)
    return pa.schema(fields.values())


def _common(known: pa.Field, new: pa.Field) -> pa.Field:
    if new.type == known.type:
        return known
    try:
        (field,) = pa.unify_schemas(
            [pa.schema([known]), pa.schema([new])],
            promote_options="permissive",
        )
        return field
    except pa.ArrowException as error:
        raise InputError(
            f"The column {new.name!r} of the metadata holds {new.type}; it "
            f"held {known.type} before. Rename it, or write its values alike."
        ) from error


def conformed(
    table: pa.Table | None, schema: pa.Schema, count: int
) -> pa.Table:
    """Returns a table of `count` rows with other columns; null where unknown.

    Args:
        table: columns that are in the schema; None for none.
        schema: what to return, see `unified`.
        count: number of rows.
    """
    columns = []
    for field in schema:
        if table is not None and field.name in table.column_names:
            columns.append(table.column(field.name).cast(field.type))
        else:
            columns.append(pa.nulls(count, field.type))
    return pa.table(columns, schema=schema)


def joined(
    parts: Sequence[tuple[pa.Table | None, int]],
) -> pa.Table | None:
    """Puts tables one below the other; None if none has columns.

    Args:
        parts: tables with their numbers of rows.
    """
    tables = [table for table, _ in parts if table is not None]
    if not tables:
        return None
    schema = unified([table.schema for table in tables])
    return pa.concat_tables(
        [conformed(table, schema, count) for table, count in parts]
    )


def with_values(
    table: pa.Table | None, count: int, rows: np.ndarray, values: pa.Table
) -> pa.Table:
    """Sets columns of some rows.

    Args:
        table: of `count` rows; None for no columns.
        count: number of rows.
        rows: int64 [M], distinct.
        values: M rows.
    """
    schema = unified(
        ([] if table is None else [table.schema]) + [values.schema]
    )
    table = conformed(table, schema, count)
    # Row of `values`, or behind them the row of `table`.
    source = np.arange(len(values), len(values) + count)
    source[rows] = np.arange(len(values))
    for name in values.column_names:
        place = schema.get_field_index(name)
        field = schema.field(place)
        both = pa.chunked_array(
            [
                *values.column(name).cast(field.type).chunks,
                *table.column(name).chunks,
            ],
            field.type,
        )
        table = table.set_column(place, field, both.take(pa.array(source)))
    return table


def require_known(names: Sequence[str], known: Sequence[bool]) -> None:
    """Checks that images are in the index.

    Raises:
        InputError: some are not; the message names them.
    """
    missing = [name for name, there in zip(names, known) if not there]
    if missing:
        raise InputError(
            f"{len(missing)} images are not in the index: {some(missing)}."
        )
