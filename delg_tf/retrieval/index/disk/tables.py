"""Tables of an index on the disk: Arrow files, mapped into memory."""

import os
import pathlib

import pyarrow as pa

from delg_tf.common.errors import InputError
from delg_tf.retrieval.index.disk.manifest import RESTORE


def write_table(path: pathlib.Path, table: pa.Table) -> None:
    """Writes a table as one Arrow file (Feather V2, not compressed)."""
    with pa.ipc.new_file(os.fspath(path), table.schema) as writer:
        writer.write_table(table.combine_chunks())


def read_table(path: pathlib.Path) -> pa.Table:
    """Maps a table.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is damaged.
    """
    try:
        table = pa.ipc.open_file(pa.memory_map(os.fspath(path))).read_all()
        # That cells lie within the file: a damaged one must not end the
        # process.
        table.validate(full=True)
    except pa.ArrowException as error:
        raise InputError(f"{path} is damaged: {error}. {RESTORE}") from error
    return table
