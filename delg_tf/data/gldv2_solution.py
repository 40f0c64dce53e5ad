"""Solutions and predictions of Google Landmarks v2: who is right, who said it.

CSV files with a header, an image a line:

- retrieval solution: id, images (index images, separated by blanks), Usage;
- recognition solution: id, landmarks (numbers, may be empty), Usage;
- retrieval predictions: id, images, the best first;
- recognition predictions: id, landmarks, which is "LANDMARK SCORE".

Usage is Public or Private, two parts with numbers of their own, or Ignored:
not evaluated. An image without a prediction has an empty field or no line.

Source: dataset_file_io.py of the official package, whose rules these are;
that one needs no header names, and takes NaN scores.
"""

import dataclasses
import math
from collections.abc import Callable, Container, Mapping
from typing import Generic, TypeVar

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.data.csv_rows import read_rows

USAGES = ("Public", "Private", "Ignored")

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Split(Generic[T]):
    """What is known about each image, by the part that it is in.

    Attributes:
        public: by image id.
        private: by image id.
        ignored: ids of images that are not evaluated.
    """

    public: Mapping[str, T]
    private: Mapping[str, T]
    ignored: frozenset[str] = frozenset()

    def parts(self) -> dict[str, Mapping[str, T]]:
        """Returns the parts that are evaluated and not empty, by their name."""
        both = {"public": self.public, "private": self.private}
        return {name: part for name, part in both.items() if part}


def read_retrieval_solution(path: PathLike) -> Split[frozenset[str]]:
    """Reads for each query the index images that show its landmark.

    Raises:
        InputError: with line and field, for wrong columns, an empty or
            repeated id, a Usage that there is not, or a query that is not
            Ignored and has no images.
    """

    def parse(text: str, where: str) -> frozenset[str]:
        images = frozenset(text.split())
        if not images or images == {"None"}:
            raise InputError(
                f"{where}: images is empty; with nothing to find, Usage must "
                "be Ignored."
            )
        return images

    return _read_solution(path, "images", parse)


def read_recognition_solution(path: PathLike) -> Split[frozenset[int]]:
    """Reads for each test image the landmarks that it shows, or none.

    Raises:
        InputError: with line and field, for wrong columns, an empty or
            repeated id, a Usage that there is not, or a landmark that is no
            whole number.
    """

    def parse(text: str, where: str) -> frozenset[int]:
        return frozenset(_landmark(word, where) for word in text.split())

    return _read_solution(path, "landmarks", parse)


def read_retrieval_predictions(
    path: PathLike,
    solution: Split[frozenset[str]],
    index_ids: Container[str] | None = None,
) -> Split[tuple[str, ...]]:
    """Reads the list of each query, the best index image first.

    Images that a list repeats stay in it: the metric counts them as wrong.

    Args:
        path: the file.
        solution: which queries there are, and in which part.
        index_ids: all index images, where it is known; others are an error.

    Raises:
        InputError: with line and field, for wrong columns, a query that is
            unknown or repeated, or an image that the index lacks.
    """

    def parse(text: str, where: str) -> tuple[str, ...]:
        images = tuple(text.split())
        for image in images if index_ids is not None else ():
            if image not in index_ids:
                raise InputError(
                    f"{where}: images has {image[:40]!r}, which is not in the "
                    "index."
                )
        return images

    return _read_predictions(path, "images", solution, parse)


def read_recognition_predictions(
    path: PathLike, solution: Split[frozenset[int]]
) -> Split[tuple[int, float]]:
    """Reads the landmark of each test image, and its score.

    Args:
        path: the file.
        solution: which test images there are, and in which part.

    Raises:
        InputError: with line and field, for wrong columns, an image that is
            unknown or repeated, not one landmark and one score, a landmark
            that is no whole number, or a score that is no finite one.
    """

    def parse(text: str, where: str) -> tuple[int, float]:
        words = text.split()
        if len(words) != 2:
            raise InputError(
                f"{where}: landmarks must be one landmark and its score, not "
                f"{len(words)} words."
            )
        try:
            score = float(words[1])
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise InputError(
                f"{where}: the score in landmarks must be a finite number, "
                f"not {words[1][:40]!r}."
            )
        return _landmark(words[0], where), score

    return _read_predictions(path, "landmarks", solution, parse)


def _read_solution(
    path: PathLike, column: str, parse: Callable[[str, str], T]
) -> Split[T]:
    parts: dict[str, dict[str, T]] = {"Public": {}, "Private": {}}
    ignored, seen = [], {}
    for line, (image, text, usage) in read_rows(path, ("id", column, "Usage")):
        where = f"{path}, line {line}"
        image, usage = _new_id(image, where, line, seen), usage.strip()
        if usage not in USAGES:
            raise InputError(
                f"{where}: Usage must be one of {', '.join(USAGES)}, not "
                f"{usage[:40]!r}."
            )
        if usage == "Ignored":
            # What such images have is no answer; official files say "None".
            ignored.append(image)
        else:
            parts[usage][image] = parse(text, where)
    if not any(parts.values()):
        raise InputError(f"{path} has no image that is Public or Private.")
    return Split(parts["Public"], parts["Private"], frozenset(ignored))


def _read_predictions(
    path: PathLike,
    column: str,
    solution: Split,
    parse: Callable[[str, str], T],
) -> Split[T]:
    public, private, seen = {}, {}, {}
    for line, (image, text) in read_rows(path, ("id", column)):
        where = f"{path}, line {line}"
        image = _new_id(image, where, line, seen)
        if image in solution.ignored:
            continue
        if image not in solution.public and image not in solution.private:
            raise InputError(
                f"{where}: id {image[:40]!r} is not in the solution. Is this "
                "the solution of the same task and year?"
            )
        if text.strip():
            part = public if image in solution.public else private
            part[image] = parse(text, where)
    return Split(public, private)


def _new_id(text: str, where: str, line: int, seen: dict[str, int]) -> str:
    image = text.strip()
    if not image:
        raise InputError(f"{where}: the id is empty.")
    first = seen.setdefault(image, line)
    if first != line:
        raise InputError(
            f"{where}: id {image[:40]!r} is repeated; it is in line {first} "
            "already. Remove one of them."
        )
    return image


def _landmark(word: str, where: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 18):
        raise InputError(
            f"{where}: a landmark in landmarks must be a whole number, not "
            f"{word[:40]!r}."
        )
    return int(word)
