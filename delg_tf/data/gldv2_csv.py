"""The CSV files of Google Landmarks v2, streamed and checked."""

import dataclasses
import itertools
import os
from collections.abc import Iterator

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.data.csv_rows import read_rows

# train.csv has four million rows: rows become arrays a chunk at a time, and
# an identifier takes 16 bytes instead of the 65 of a Python string.
CHUNK_ROWS = 1 << 16


@dataclasses.dataclass(frozen=True)
class Table:
    """Images listed in a CSV file, each one once, in the file's order.

    Attributes:
        ids: bytes ("S") [N], identifiers in UTF-8.
        labels: int64 [N], landmark_id; -1 where the file has none.
        lines: int64 [N], line of the file, from 1.
        path: the file.
    """

    ids: np.ndarray
    labels: np.ndarray
    lines: np.ndarray
    path: str

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, keep: np.ndarray) -> "Table":
        """Returns some of the rows.

        Args:
            keep: bool [N].
        """
        return Table(
            self.ids[keep], self.labels[keep], self.lines[keep], self.path
        )


def read_train_csv(path: str | os.PathLike) -> Table:
    """Reads train.csv, columns id and landmark_id (url is not used).

    Raises:
        InputError: with the line number, for a missing column, a wrong number
            of fields, a landmark_id that is no number, or an image that is
            listed under two landmarks.
    """
    return _table(
        path,
        (
            (
                line,
                _identifier(path, line, name),
                landmark_id(path, line, label),
            )
            for line, (name, label) in read_rows(path, ("id", "landmark_id"))
        ),
    )


def read_clean_csv(path: str | os.PathLike) -> Table:
    """Reads train_clean.csv, columns landmark_id and images.

    `images` holds the identifiers of one landmark, separated by spaces.

    Raises:
        InputError: as `read_train_csv`, and for a landmark without images.
    """

    def entries() -> Iterator[tuple[int, bytes, int]]:
        for line, (label, names) in read_rows(path, ("landmark_id", "images")):
            landmark = landmark_id(path, line, label)
            if not names.strip():
                raise InputError(
                    f"{path}, line {line}: landmark {landmark} has no images."
                )
            for name in names.split():
                yield line, name.encode(), landmark

    return _table(path, entries())


def read_test_csv(path: str | os.PathLike) -> Table:
    """Reads test.csv or index.csv, column id.

    Raises:
        InputError: as `read_train_csv`.
    """
    return _table(
        path,
        (
            (line, _identifier(path, line, name), -1)
            for line, (name,) in read_rows(path, ("id",))
        ),
    )


def _identifier(path: str | os.PathLike, line: int, text: str) -> bytes:
    name = text.strip()
    if not name:
        raise InputError(f"{path}, line {line}: the id is empty.")
    return name.encode()


def landmark_id(path: str | os.PathLike, line: int, text: str) -> int:
    """Returns the id that a field has.

    Raises:
        InputError: it is no whole number.
    """
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise InputError(
            f"{path}, line {line}: landmark_id must be a whole number, not "
            f"{text[:40]!r}."
        )
    return int(digits)


def _table(
    path: str | os.PathLike, entries: Iterator[tuple[int, bytes, int]]
) -> Table:
    chunks = []
    while chunk := list(itertools.islice(entries, CHUNK_ROWS)):
        lines, ids, labels = zip(*chunk)
        chunks.append(
            (np.array(lines, np.int64), np.array(ids), np.array(labels))
        )
    if not chunks:
        raise InputError(f"{path} lists no images: there is only a header.")
    lines, ids, labels = (np.concatenate(column) for column in zip(*chunks))
    return _without_duplicates(
        Table(ids, labels.astype(np.int64), lines, str(path))
    )


def _without_duplicates(table: Table) -> Table:
    """Keeps the first of equal rows; refuses rows that contradict."""
    order = np.argsort(table.ids, kind="stable")
    first, second = order[:-1], order[1:]
    same = table.ids[first] == table.ids[second]
    if not same.any():
        return table
    conflicts = second[same & (table.labels[first] != table.labels[second])]
    if conflicts.size:
        later = conflicts.min()
        earlier = np.flatnonzero(table.ids == table.ids[later])[0]
        raise InputError(
            f"{table.path}, line {table.lines[later]}: image "
            f"{table.ids[later].decode()} has landmark_id "
            f"{table.labels[later]}, but {table.labels[earlier]} in line "
            f"{table.lines[earlier]}. Remove one of them."
        )
    keep = np.ones(len(table), bool)
    keep[second[same]] = False
    return table.take(keep)
