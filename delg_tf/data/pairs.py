"""Pairs of images that show the same landmark or do not.

The DELG paper compares local features on such pairs (table 1):
ranked by inliers, the matching ones are to come first.
"""

import csv
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, atomic_write, refuse_existing
from delg_tf.data.csv_rows import read_rows
from delg_tf.data.revisited import RevisitedGroundTruth, RevisitedQuery

COLUMNS = ("query", "index", "match")

_LABELS = {"0": False, "1": True}


@dataclasses.dataclass(frozen=True, eq=False)
class ImagePairs:
    """P pairs of a query image and an index image.

    Attributes:
        query_names: P names of query images, without extension.
        index_names: P names of index images, without extension.
        matches: bool [P], whether both show the same landmark.

    Raises:
        ValueError: lengths or the type do not fit.
    """

    query_names: Sequence[str]
    index_names: Sequence[str]
    matches: np.ndarray

    def __post_init__(self):
        shape = (len(self.query_names),)
        if (
            len(self.index_names) != shape[0]
            or self.matches.shape != shape
            or self.matches.dtype != np.bool_
        ):
            raise ValueError(
                "`matches` must be bool [P], beside P names of queries and of "
                f"index images. Received: {self.matches.dtype} of shape "
                f"{self.matches.shape}, {len(self.query_names)} and "
                f"{len(self.index_names)} names"
            )

    def __len__(self) -> int:
        return len(self.query_names)

    def names(self) -> list[tuple[str, str]]:
        """Returns (query name, index name) of each pair."""
        return list(zip(self.query_names, self.index_names))


def read_pairs(path: PathLike) -> ImagePairs:
    """Reads a CSV with the columns query, index and match; others are unused.

    Blanks around names do not count. A pair that is listed again with the
    same label counts once.

    Args:
        path: the file; `match` is 1 for two images of one landmark, else 0.

    Raises:
        InputError: with the line number, for a missing column, a wrong number
            of fields, an empty name, a match that is neither 0 nor 1, or a
            pair with two labels; or the pairs are not of both kinds.
    """
    known: dict[tuple[str, str], tuple[bool, int]] = {}
    for line, fields in read_rows(path, COLUMNS):
        query, index, label = (field.strip() for field in fields)
        where = f"{path}, line {line}"
        for column, name in (("query", query), ("index", index)):
            if not name:
                raise InputError(f"{where}: the name in {column} is empty.")
        if label not in _LABELS:
            raise InputError(
                f"{where}: match must be 1 (same landmark) or 0, not "
                f"{label[:40]!r}."
            )
        match = _LABELS[label]
        first, first_line = known.setdefault((query, index), (match, line))
        if first != match:
            raise InputError(
                f"{where}: the pair {query}, {index} has match {label}, but "
                f"{int(first)} in line {first_line}. Remove one of them."
            )
    if not known:
        raise InputError(f"{path} lists no pairs: there is only a header.")
    matches = np.array([match for match, _ in known.values()])
    _require_both(matches, str(path))
    return ImagePairs(*zip(*known), matches)


def write_pairs(
    path: PathLike,
    pairs: ImagePairs,
    overwrite: bool = False,
    columns: Mapping[str, Sequence] | None = None,
) -> None:
    """Writes a CSV that `read_pairs` reads.

    Args:
        path: the file to write.
        pairs: what to write.
        overwrite: whether the file may exist.
        columns: further columns by name, with P values each.

    Raises:
        InputError: the file exists and may not be replaced.
        ValueError: a column has another length.
    """
    refuse_existing(path, overwrite)
    columns = dict(columns or {})
    for name, values in columns.items():
        if len(values) != len(pairs):
            raise ValueError(
                f"`columns` must have {len(pairs)} values each. Received: "
                f"{len(values)} in {name!r}"
            )
    labels = pairs.matches.astype(int).tolist()
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *columns])
        writer.writerows(
            zip(pairs.query_names, pairs.index_names, labels, *columns.values())
        )


def pairs_of_ground_truth(
    truth: RevisitedGroundTruth, negatives_per_query: int, seed: int = 0
) -> ImagePairs:
    """Pairs each query with what shows its landmark, and with some that don't.

    Matching are all easy and hard index images; the others are drawn from
    those that are neither these nor junk, without replacement. What is drawn
    for a query depends on the seed and its place alone.

    Args:
        truth: queries, index images and labels.
        negatives_per_query: pairs drawn a query; all where there are fewer.
        seed: of the drawing.

    Returns:
        Query after query: easy, hard, then the drawn ones by id.

    Raises:
        InputError: a number is out of range, or the pairs are not of both
            kinds.
    """
    for name, value, low in (
        ("negatives_per_query", negatives_per_query, 1),
        ("seed", seed, 0),
    ):
        if value < low:
            raise InputError(f"{name} must be at least {low}, but is {value}.")
    rows, images, matches = [], [], []
    for row, query in enumerate(truth.queries):
        rng = np.random.default_rng([seed, row])
        others = _draw_others(
            query, len(truth.index_names), negatives_per_query, rng
        )
        chosen = np.concatenate([query.easy, query.hard, others])
        rows += [row] * len(chosen)
        images += chosen.tolist()
        matches += [True] * (len(chosen) - len(others)) + [False] * len(others)
    labels = np.array(matches, np.bool_)
    _require_both(labels, "The ground truth")
    return ImagePairs(
        tuple(truth.query_names[row] for row in rows),
        tuple(truth.index_names[image] for image in images),
        labels,
    )


def _draw_others(
    query: RevisitedQuery,
    num_images: int,
    count: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draws ids of images without a label, ascending: int64 [at most count]."""
    free = np.ones(num_images, np.bool_)
    for ids in (query.easy, query.hard, query.junk):
        free[ids] = False
    ids = np.flatnonzero(free)
    return np.sort(rng.choice(ids, min(count, len(ids)), replace=False))


def _require_both(matches: np.ndarray, source: str) -> None:
    for value, kind in ((True, "matching"), (False, "non-matching")):
        if not (matches == value).any():
            raise InputError(
                f"{source} has no {kind} pair; average precision needs pairs "
                "of both kinds."
            )
