"""Data sets for recognition: labelled images, and images to be named.

Google Landmarks v2 as it is downloaded, or any other set in its form. Images
are held as `FileTable`s, some 60 bytes each: there are four million of them.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_file
from delg_tf.data.csv_rows import read_header
from delg_tf.data.gldv2_solution import read_recognition_solution
from delg_tf.data.image_files import FileTable, find_by_id, find_by_path
from delg_tf.data.label_table import read_label_table
from delg_tf.data.labelled_csv import read_labelled_csv
from delg_tf.extraction.image_list import ImageItem
from delg_tf.protocols.data_set import ImageSet

SOLUTION_FILE = "recognition_solution_v2.1.csv"
LABEL_FILES = ("train", "train_clean")
# Images of a part of the index, which is extracted and indexed by itself:
# their paths and names are held in memory, and those of no other part.
IMAGES_A_PART = 200_000


@dataclasses.dataclass(frozen=True, eq=False)
class RecognitionDataSet:
    """Labelled images and queries whose landmark is to be named.

    Attributes:
        name: as users call it.
        index: the labelled images, in the order of `labels_file`.
        queries: the images of the solution, but those it ignores.
        labels_file: CSV, see `read_label_table`.
        solution_file: CSV as `recognition_solution_v2.1.csv`.
        missing: how many "index" and "query" images have no file; those are
            left out.
    """

    name: str
    index: FileTable
    queries: FileTable
    labels_file: pathlib.Path
    solution_file: pathlib.Path
    missing: dict[str, int]

    def query_set(self) -> ImageSet:
        """Returns the queries."""
        return ImageSet(f"{self.name}_query", _items(self.queries))

    def index_parts(self, size: int = IMAGES_A_PART) -> Iterator[ImageSet]:
        """Yields the labelled images, some at a time.

        Args:
            size: images of a part.
        """
        for number, start in enumerate(range(0, len(self.index), size)):
            part = self.index.take(np.arange(len(self.index))[start:][:size])
            yield ImageSet(f"{self.name}_index{number:03d}", _items(part))

    def index_set(self, names: list[str]) -> ImageSet:
        """Returns some of the labelled images.

        Args:
            names: of them.
        """
        order = np.argsort(self.index.ids, kind="stable")
        wanted = np.array([os.fsencode(name) for name in sorted(names)])
        rows = order[np.searchsorted(self.index.ids, wanted, sorter=order)]
        part = self.index.take(rows)
        return ImageSet(f"{self.name}_verified", _items(part))


def open_gldv2_recognition(
    folder: pathlib.Path,
    labels: str = "train",
    allow_missing: bool = False,
    remedy: str = "",
) -> RecognitionDataSet:
    """Opens Google Landmarks v2 as `tools/download_dataset.py` leaves it.

    Args:
        folder: with train/, test/ and the CSV files.
        labels: "train": the images of train.csv, as the official challenge
            has it; "train_clean": those of train_clean.csv, a third of them.
        allow_missing: leave out images without a file.
        remedy: what to do if something is missing, a sentence.

    Raises:
        InputError: something is missing or damaged.
    """
    for path in (
        folder / f"{labels}.csv",
        folder / SOLUTION_FILE,
        folder / "train",
        folder / "test",
    ):
        if not path.exists():
            raise InputError(f"{path} is missing. {remedy}")
    return open_labelled(
        "gldv2",
        folder / "train",
        folder / f"{labels}.csv",
        folder / "test",
        folder / SOLUTION_FILE,
        allow_missing,
    )


def open_labelled(
    name: str,
    index_images_dir: PathLike,
    labels_file: PathLike,
    query_images_dir: PathLike,
    solution_file: PathLike,
    allow_missing: bool = False,
) -> RecognitionDataSet:
    """Opens labelled images of one's own.

    Images lie in their folder, or in a/b/c/ below it where abc... is their
    id; those of a CSV with paths where it says.

    Args:
        name: of the data set, for names of folders.
        index_images_dir: folder of the labelled images.
        labels_file: CSV, see `read_label_table`; labels are whole numbers.
        query_images_dir: folder of the queries.
        solution_file: CSV with id, landmarks and Usage.
        allow_missing: leave out images without a file.

    Raises:
        InputError: something is missing or damaged; or images have no file.
    """
    labels_file = existing_file(labels_file, "file of labels")
    solution_file = existing_file(solution_file, "solution")
    _check_labels(labels_file)
    solution = read_recognition_solution(solution_file)
    asked = sorted({*solution.public, *solution.private})
    tables, missing = {}, {}
    for what, table, where in (
        ("index", _labelled_files(labels_file, index_images_dir), labels_file),
        (
            "query",
            find_by_id(
                query_images_dir, np.array(list(map(os.fsencode, asked)))
            ),
            solution_file,
        ),
    ):
        exists = table.paths != b""
        missing[what] = int(np.count_nonzero(~exists))
        _check_missing(table, exists, what, where, allow_missing)
        tables[what] = table.take(exists)
    return RecognitionDataSet(
        name,
        tables["index"],
        tables["query"],
        labels_file,
        solution_file,
        missing,
    )


def _check_labels(path: pathlib.Path) -> None:
    for name in read_label_table(path).classes:
        if not (name.isascii() and name.isdigit()):
            raise InputError(
                f"{path}: the label {name[:40]!r} is no whole number, which "
                "solutions and predictions have. Number your classes."
            )


def _labelled_files(path: pathlib.Path, images_dir: PathLike) -> FileTable:
    header = read_header(path)
    if "path" not in header or "id" in header:
        return find_by_id(images_dir, read_label_table(path).ids)
    listed = read_labelled_csv(path).paths
    found, exists = find_by_path(pathlib.Path(images_dir), listed)
    paths = np.zeros(len(listed), found.paths.dtype)
    sizes = np.zeros(len(listed), np.int64)
    paths[exists], sizes[exists] = found.paths, found.sizes
    names = [os.fsencode(os.path.splitext(one)[0]) for one in listed]
    return FileTable(found.root, np.array(names), paths, sizes)


def _check_missing(
    table: FileTable,
    exists: np.ndarray,
    what: str,
    where: pathlib.Path,
    allowed: bool,
) -> None:
    if exists.all() or (allowed and exists.any()):
        return
    absent = np.flatnonzero(~exists)
    first = os.fsdecode(table.ids[absent[0]])
    remedy = "Download the rest" + (
        "."
        if not exists.any()
        else ", or pass --allow_missing_images; the "
        "figures are then not those of the whole data set."
    )
    raise InputError(
        f"{len(absent)} of the {len(table)} {what} images of {where} are not "
        f"in {table.root}; the first is {first}. {remedy}"
    )


def _items(table: FileTable) -> list[ImageItem]:
    return [
        ImageItem(os.fsdecode(name), table.root / os.fsdecode(path))
        for name, path in zip(table.ids.tolist(), table.paths.tolist())
    ]
