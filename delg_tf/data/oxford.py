"""Ground truth of the old Oxford5k and Paris6k benchmarks, and of their kind.

A folder holds four text files a query NAME: `NAME_query.txt`, one line with
the query image and its box `x1 y1 x2 y2` in pixels (Oxford's images have the
prefix `oxc1_` there, and only there), and `NAME_good.txt`, `NAME_ok.txt`,
`NAME_junk.txt`, an image a line, without extension.

Source: Philbin et al., CVPR 2007 and 2008; the benchmarks' own pages.
"""

import math
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import (
    PathLike,
    existing_directory,
    existing_file,
)
from delg_tf.data.decoder import EXTENSIONS
from delg_tf.data.revisited import RevisitedGroundTruth, RevisitedQuery

# Before the names of query images of Oxford5k.
QUERY_PREFIX = "oxc1_"
# Images of Paris6k that its page lists as damaged; all leave them out.
PARIS_DAMAGED = frozenset(
    f"paris_{name}"
    for name in (
        "louvre_000136", "louvre_000146", "moulinrouge_000422",
        "museedorsay_001059", "notredame_000188", "pantheon_000284",
        "pantheon_000960", "pantheon_000974", "pompidou_000195",
        "pompidou_000196", "pompidou_000201", "pompidou_000467",
        "pompidou_000640", "sacrecoeur_000299", "sacrecoeur_000330",
        "sacrecoeur_000353", "triomphe_000662", "triomphe_000833",
        "triomphe_000863", "triomphe_000867",
    )
)  # fmt: skip

_QUERY = "_query.txt"
# Good and ok are one: the metric makes no difference between them.
_KINDS = {"good": "positive", "ok": "positive", "junk": "junk"}


def load_oxford_ground_truth(
    directory: PathLike, index_names: Sequence[str]
) -> RevisitedGroundTruth:
    """Reads a folder of old ground truth.

    Args:
        directory: the folder.
        index_names: names of all index images, without extension; see
            `list_index_names`. Those that lie in folders are found by their
            last part. The query images are among them in these benchmarks,
            and count as right answers.

    Returns:
        Queries by name of their files. Good and ok images are `easy`, `hard`
        is empty, `junk` is junk: what `evaluation.metrics.oxford` wants, and
        Easy of Revisited computes. Labels of `PARIS_DAMAGED` images that the
        index lacks are left out.

    Raises:
        InputError: a file is missing, a line malformed, an image unknown, or
            both positive and junk; the message names file, line and field.
    """
    directory = existing_directory(directory, "ground truth folder")
    queries = sorted(directory.glob(f"*{_QUERY}"))
    if not queries:
        raise InputError(
            f"{directory} has no files *{_QUERY}: it is no ground truth of "
            "Oxford5k or Paris6k."
        )
    places = _Places(index_names)
    known: dict[str, pathlib.Path] = {}
    labels = []
    for path in queries:
        name, box = _read_query(path)
        name = places.whole_name(name)
        if name in known:
            raise InputError(
                f"{path}, line 1: {name} is the query image of {known[name]} "
                "too. An image can be the query only once."
            )
        known[name] = path
        stem = path.name.removesuffix(_QUERY)
        labels.append(_read_labels(directory, stem, places, box))
    return RevisitedGroundTruth(tuple(known), tuple(index_names), tuple(labels))


def list_index_names(path: PathLike) -> tuple[str, ...]:
    """Returns the names of the index images of a benchmark.

    Args:
        path: a folder, all of whose images are taken, those of its folders
            too, but for `PARIS_DAMAGED`; or a text file with an image a line,
            with or without extension, whose order is kept.

    Returns:
        Names without extension, relative to the folder.

    Raises:
        InputError: there is no such place, no image in it, or a name comes
            twice.
    """
    if os.path.isdir(path):
        found = [
            (str(file), file.relative_to(path).as_posix())
            for file in sorted(pathlib.Path(path).rglob("*"))
            if file.suffix.lower() in EXTENSIONS
            and file.stem not in PARIS_DAMAGED
        ]
    else:
        found = [
            (f"{path}, line {line}", text)
            for line, text in _lines(existing_file(path, "image list"))
        ]
    first: dict[str, str] = {}
    for where, text in found:
        name = _without_ending(text)
        if name in first:
            raise InputError(
                f"{where}: the image {name} comes twice, first in "
                f"{first[name]}. Remove one of them."
            )
        first[name] = where
    if not first:
        raise InputError(f"{path} has no images.")
    return tuple(first)


class _Places:
    """Positions of index images by their names or the last parts of these."""

    def __init__(self, names: Sequence[str]):
        self._names = names
        self._place = {name: i for i, name in enumerate(names)}
        self._last: dict[str, list[int]] = {}
        for i, name in enumerate(names):
            self._last.setdefault(name.rpartition("/")[2], []).append(i)

    def find(self, name: str, where: str) -> int | None:
        """Returns a position; None for a damaged image that is not there."""
        if name in self._place:
            return self._place[name]
        places = self._last.get(name, [])
        if not places and name in PARIS_DAMAGED:
            return None
        if len(places) != 1:
            what = "none" if not places else f"{len(places)} files"
            raise InputError(
                f"{where}: there must be one index image {name}, but there "
                f"is {what} among {len(self._names)}."
            )
        return places[0]

    def whole_name(self, name: str) -> str:
        """Returns what the index calls an image; as it is if it has none."""
        places = self._last.get(name, [])
        if name in self._place or len(places) != 1:
            return name
        return self._names[places[0]]


def _read_query(
    path: pathlib.Path,
) -> tuple[str, tuple[float, float, float, float]]:
    """Returns the query image and its box, (x1, y1, x2, y2)."""
    lines = list(_lines(path))
    if len(lines) != 1:
        raise InputError(
            f"{path} must have one line, image and box, but has {len(lines)}."
        )
    where = f"{path}, line {lines[0][0]}"
    name, *numbers = lines[0][1].split()
    if len(numbers) != 4:
        raise InputError(
            f"{where}: expected the image and x1 y1 x2 y2, got "
            f"{len(numbers)} numbers."
        )
    box = []
    for field, text in zip(("x1", "y1", "x2", "y2"), numbers):
        try:
            box.append(float(text))
        except ValueError:
            box.append(math.nan)
        if not math.isfinite(box[-1]):
            raise InputError(
                f"{where}: {field} must be a number, not {text[:40]!r}."
            )
    if box[2] <= max(box[0], 0) or box[3] <= max(box[1], 0):
        raise InputError(
            f"{where}: the box {' '.join(numbers)} is empty or outside the "
            "image."
        )
    return _without_ending(name.removeprefix(QUERY_PREFIX)), tuple(box)


def _read_labels(
    directory: pathlib.Path,
    stem: str,
    places: _Places,
    box: tuple[float, float, float, float],
) -> RevisitedQuery:
    """Returns the labels of one query; ids ascend."""
    known: dict[int, tuple[str, str]] = {}
    for kind, label in _KINDS.items():
        path = existing_file(
            directory / f"{stem}_{kind}.txt", f"list of {kind} images"
        )
        for line, text in _lines(path):
            where = f"{path}, line {line}"
            image = places.find(_without_ending(text), where)
            if image is None:
                continue
            # What is good and ok, or there twice, is positive all the same.
            first, at = known.setdefault(image, (label, where))
            if first != label:
                raise InputError(
                    f"{where}: {text} is {label}, but {first} in {at}. Remove "
                    "one of them."
                )
    ids = {
        wanted: np.array(
            sorted(i for i, (label, _) in known.items() if label == wanted),
            np.int64,
        )
        for wanted in ("positive", "junk")
    }
    return RevisitedQuery(
        ids["positive"], np.zeros(0, np.int64), ids["junk"], box
    )


def _lines(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """Yields the lines that are not empty, with their numbers from 1."""
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            text = line.decode("utf-8-sig").strip()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}, line {number}: no UTF-8 text: {error}"
            ) from error
        if text:
            yield number, text


def _without_ending(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in EXTENSIONS else name
