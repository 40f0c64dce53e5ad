"""Files that list landmarks: an id a line, or a CSV with landmark_id."""

import os

import numpy as np
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import existing_file
from delg_tf.data.class_list import count_dropped
from delg_tf.data.csv_rows import read_header, read_rows
from delg_tf.data.gldv2_csv import Table, landmark_id

COLUMN = "landmark_id"
_SHOWN = 5


def read_landmarks(path: str | os.PathLike) -> np.ndarray:
    """Reads a list of landmarks.

    Args:
        path: a text file with an id a line, where empty lines and what
            follows a "#" do not count; or a CSV file with the column
            landmark_id.

    Returns:
        int64 [D], ascending, each id once.

    Raises:
        InputError: an id is no whole number (the message has the line), or
            there is none.
    """
    existing_file(path, "list of landmarks")
    if COLUMN in read_header(path):
        rows = ((line, text) for line, (text,) in read_rows(path, (COLUMN,)))
    else:
        rows = _lines(path)
    ids = [landmark_id(path, line, text) for line, text in rows]
    if not ids:
        raise InputError(f"{path} lists no landmark.")
    return np.unique(np.array(ids, np.int64))


def drop_landmarks(
    table: Table, path: str | os.PathLike
) -> tuple[Table, dict[int, int]]:
    """Leaves out the images of some landmarks.

    Args:
        table: listed images.
        path: list of the landmarks; see `read_landmarks`.

    Returns:
        The other images, and how many images each landmark of the list had.

    Raises:
        InputError: the list is malformed, names no landmark of the table, or
            names them all.
    """
    dropped = count_dropped(table.labels, read_landmarks(path))
    unknown = [landmark for landmark, count in dropped.items() if not count]
    first = ", ".join(map(str, unknown[:_SHOWN]))
    if len(unknown) == len(dropped):
        raise InputError(
            f"{path}: none of its {len(dropped)} landmarks ({first}, ...) is "
            f"in {table.path}. Is it a list of other ids?"
        )
    if unknown:
        logging.warning(
            "%s: %d of %d landmarks are not in %s: %s%s.",
            path,
            len(unknown),
            len(dropped),
            table.path,
            first,
            ", ..." if len(unknown) > _SHOWN else "",
        )
    keep = ~np.isin(table.labels, list(dropped))
    if not keep.any():
        raise InputError(
            f"{path} names all landmarks of {table.path}: no image is left."
        )
    return table.take(keep), dropped


def _lines(path: str | os.PathLike) -> list[tuple[int, str]]:
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        texts = [line.partition("#")[0].strip() for line in file]
    return [(line, text) for line, text in enumerate(texts, 1) if text]
