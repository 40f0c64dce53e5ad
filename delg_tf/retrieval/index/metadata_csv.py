"""Metadata from CSV files, joined to images by their names."""

import os
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.csv

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_file
from delg_tf.retrieval.index.filters import NAME_COLUMN
from delg_tf.retrieval.index.names import some

# Instead of names: those of the image files, with extension.
_PATH_COLUMN = "path"


class MetadataTable:
    """Columns by image name.

    Attributes:
        columns: M rows, without the names.
    """

    def __init__(self, names: Sequence[str], columns: pa.Table):
        """Takes M distinct names and their M rows."""
        self.columns = columns
        self._rows = dict(zip(names, range(len(names))))

    @property
    def names(self) -> list[str]:
        """The names, in the order of the rows."""
        return list(self._rows)

    def of(self, names: Sequence[str]) -> pa.Table:
        """Returns rows of images; null for those that have none."""
        rows = [self._rows.get(name) for name in names]
        return self.columns.take(pa.array(rows, pa.int64()))

    def known(self, names: Sequence[str]) -> list[str]:
        """Returns those images that have a row."""
        return [name for name in names if name in self._rows]


def read_metadata_csv(path: PathLike) -> MetadataTable:
    """Reads a CSV file in UTF-8 whose first line names the columns.

    One column says which image a row is of: `name`, as the index has it, or
    else `path`, the image file below the folder of the extraction, whose
    extension does not count; it stays a column. Types are inferred: whole
    numbers, real ones, true and false, dates, times, text. An empty cell is
    null.

    Raises:
        InputError: the file is missing or malformed, or an image comes twice;
            the message names the line or the images.
    """
    existing_file(path, "CSV file")
    text = pa.string()
    try:
        table = pa.csv.read_csv(
            os.fspath(path),
            convert_options=pa.csv.ConvertOptions(
                column_types={NAME_COLUMN: text, _PATH_COLUMN: text},
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"{path} is no CSV file: {error}") from error
    header = table.column_names
    if NAME_COLUMN in header:
        names = table.column(NAME_COLUMN).to_pylist()
        table = table.drop_columns(NAME_COLUMN)
    elif _PATH_COLUMN in header:
        names = table.column(_PATH_COLUMN).to_pylist()
        names = [name and os.path.splitext(name)[0] for name in names]
    else:
        raise InputError(
            f"{path} has neither a column {NAME_COLUMN!r} nor "
            f"{_PATH_COLUMN!r} that says which image a row is of; it has "
            f"{', '.join(map(repr, header))}."
        )
    _check(path, names)
    return MetadataTable(names, table)


def _check(path: PathLike, names: Sequence[str | None]) -> None:
    if None in names:
        raise InputError(f"{path}: row {names.index(None) + 1} names no image.")
    seen: set[str] = set()
    twice = {name for name in names if name in seen or seen.add(name)}
    if twice:
        raise InputError(f"{path} has rows of the same image: {some(twice)}.")
