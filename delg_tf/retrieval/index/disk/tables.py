"""Tables and rows of an index on the disk."""

import os
import pathlib

import numpy as np
import pyarrow as pa

from delg_tf.common.errors import InputError
from delg_tf.retrieval.index.disk.manifest import RESTORE


def write_table(path: pathlib.Path, table: pa.Table) -> None:
    """Writes a table as one Arrow file (Feather V2, not compressed)."""
    with pa.ipc.new_file(os.fspath(path), table.schema) as writer:
        writer.write_table(table.combine_chunks())


def read_table(
    path: pathlib.Path, columns: dict[str, pa.DataType] | None = None
) -> pa.Table:
    """Maps a table into memory.

    Args:
        path: the file.
        columns: that it must have, no others; None: any.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is damaged.
    """
    try:
        table = pa.ipc.open_file(pa.memory_map(os.fspath(path))).read_all()
        # That cells lie within the file: a damaged one must not end the
        # process.
        table.validate(full=True)
        found = dict(zip(table.schema.names, table.schema.types))
        if columns not in (None, found):
            raise ValueError("it has other columns")
    except FileNotFoundError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{path} is damaged: {error}. {RESTORE}") from error
    return table


def write_rows(path: pathlib.Path, rows: np.ndarray) -> None:
    """Writes numbers of rows, int64, as they are."""
    np.asarray(rows, "<i8").tofile(path)


def read_rows(path: pathlib.Path, count: int) -> np.ndarray:
    """Reads numbers of rows.

    Args:
        path: the file.
        count: of all rows; the numbers are below it.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is damaged.
    """
    content = path.read_bytes()
    rows = np.frombuffer(content, "<i8", len(content) // 8)
    if rows.size and (rows.min() < 0 or rows.max() >= count):
        raise InputError(
            f"{path} is damaged: it names rows that are not there. {RESTORE}"
        )
    return rows
