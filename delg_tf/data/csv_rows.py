"""Rows of a CSV file with a header, streamed, with their line numbers."""

import csv
import os
from collections.abc import Iterator

from delg_tf.common import files
from delg_tf.common.errors import InputError

# One field of train_clean.csv holds all identifiers of a landmark.
MAX_FIELD_CHARACTERS = 1 << 30


def read_rows(
    path: str | os.PathLike, columns: tuple[str, ...]
) -> Iterator[tuple[int, list[str]]]:
    """Yields line number, from 1, and the wanted fields of each row.

    Args:
        path: a CSV file in UTF-8 whose first line names the columns. Empty
            lines are passed over.
        columns: the wanted ones; the file may have others.

    Raises:
        InputError: with the line number, for a missing column or a wrong
            number of fields; or there is no such file.
    """
    files.existing_file(path, "CSV file")
    csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD_CHARACTERS))
    # Undecodable bytes can only stand in columns that are not used, or make
    # an identifier that no file has; neither is a reason to stop.
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        try:
            header = [name.strip() for name in next(reader, [])]
            if not header:
                raise InputError(f"{path} is empty or its first line is.")
            wanted = _positions(path, header, columns)
            for fields in reader:
                if not fields:
                    continue
                if len(fields) != len(header):
                    raise InputError(
                        f"{path}, line {reader.line_num}: {len(fields)} "
                        f"fields, but the header has {len(header)}."
                    )
                yield reader.line_num, [fields[i] for i in wanted]
        except csv.Error as error:
            raise InputError(
                f"{path}, line {reader.line_num}: {error}."
            ) from error


def read_header(path: str | os.PathLike) -> list[str]:
    """Returns the names of a CSV file's columns.

    Raises:
        InputError: there is no such file, or its first line is empty.
    """
    files.existing_file(path, "CSV file")
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        header = [name.strip() for name in next(csv.reader(file), [])]
    if not header:
        raise InputError(f"{path} is empty or its first line is.")
    return header


def _positions(
    path: str | os.PathLike, header: list[str], columns: tuple[str, ...]
) -> list[int]:
    for column in columns:
        if column not in header:
            raise InputError(
                f"{path}, line 1: no column {column!r}; the header names "
                f"{', '.join(header)[:200]}."
            )
    return [header.index(column) for column in columns]
