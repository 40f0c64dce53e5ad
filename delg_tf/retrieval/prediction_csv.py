"""Predictions as Google Landmarks v2 wants them: CSV files, an image a line.

The formats are those that `dataset_file_io.py` of the official package reads.
"""

import collections
import csv
import posixpath
from collections.abc import Iterable, Sequence

from delg_tf.common.errors import InputError
from delg_tf.common.files import (
    PathLike,
    atomic_write,
    readable,
    refuse_existing,
)
from delg_tf.retrieval.results import SearchResults

# More are not counted.
MAX_IMAGES = 100
RETRIEVAL_HEADER = ("id", "images")
RECOGNITION_HEADER = ("id", "landmarks")


def image_ids(names: Sequence[str], full_names: bool = False) -> list[str]:
    """Returns what images are called in predictions.

    Args:
        names: as features are named.
        full_names: whether that is the identifier. By default it is the last
            part of the name: GLDv2 keeps image abc... in the folders a/b/c.

    Raises:
        InputError: identifiers are not distinct.
    """
    names = [readable(name) for name in names]
    ids = names if full_names else [posixpath.basename(name) for name in names]
    if len(set(ids)) != len(ids):
        name, _ = collections.Counter(ids).most_common(1)[0]
        raise InputError(
            f"Several images would have the id {name!r}. Pass --full_names."
        )
    return ids


def write_retrieval_csv(
    path: PathLike,
    results: SearchResults,
    overwrite: bool = False,
    full_names: bool = False,
) -> None:
    """Writes the first 100 images of each list, columns id and images.

    Args:
        path: the file to write.
        results: the lists.
        overwrite: whether it may exist.
        full_names: see `image_ids`.

    Raises:
        InputError: the file exists; identifiers are not distinct, or one has
            a blank, which is what separates them.
    """
    queries = image_ids(results.query_names, full_names)
    images = image_ids(results.index_names, full_names)
    for image in images:
        if image.split() != [image]:
            raise InputError(
                f"{image!r} cannot stand in a list that blanks separate. "
                "Rename the image."
            )
    rows = (
        (query, " ".join(images[i] for i in row[:MAX_IMAGES]))
        for query, row in zip(queries, results.ranks.tolist())
    )
    write_rows(path, RETRIEVAL_HEADER, rows, overwrite)


def write_rows(
    path: PathLike,
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    overwrite: bool = False,
) -> None:
    """Writes a CSV file, whole or not at all.

    Raises:
        InputError: the file exists and may not be replaced.
    """
    refuse_existing(path, overwrite)
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
