"""Ranked lists of index images, one for each query."""

import dataclasses
import zipfile
from collections.abc import Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import (
    PathLike,
    atomic_write,
    existing_file,
    refuse_existing,
)

FORMAT = "delg_tf.search_results.1"
# What plain search ranks by.
COSINE = "cosine"


@dataclasses.dataclass(frozen=True)
class RankedImage:
    """One line of a ranked list.

    Attributes:
        query: name of the query image.
        rank: place in the list, from 1.
        image: name of the index image.
        similarity: cosine of the global descriptors.
        inliers: number of inliers; None without re-ranking.
        score: what ranks the image if that is not the similarity, or None.
    """

    query: str
    rank: int
    image: str
    similarity: float
    inliers: int | None
    score: float | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class SearchResults:
    """Ranked index images of several queries.

    Attributes:
        query_names: names of the queries.
        index_names: names of all index images; an id is a position here.
        ranks: int [Q, K], ids of the index images, best first. K is the
            index size N for a whole ranking, less for a short list.
        similarities: float32 [Q, K], cosine of the global descriptors, or what
            else `ranked_by` says, in the order of `ranks`.
        scores: float64 [Q, K], what the lists are ordered by before a
            re-ranking by inliers, higher first, in the order of `ranks`; None
            if that is `similarities`.
        ranked_by: what that score is, in words. "cosine with query expansion"
            says also which descriptors the similarities are of.
        inliers: int32 [Q, K], number of inliers, in the order of `ranks`, 0
            where none was counted; None without re-ranking.
    """

    query_names: Sequence[str]
    index_names: Sequence[str]
    ranks: np.ndarray
    similarities: np.ndarray
    inliers: np.ndarray | None = None
    scores: np.ndarray | None = None
    ranked_by: str = COSINE

    def __post_init__(self):
        shape = self.ranks.shape
        if (
            self.ranks.ndim != 2
            or shape[0] != len(self.query_names)
            or shape[1] > len(self.index_names)
        ):
            raise ValueError(
                f"`ranks` must be [{len(self.query_names)}, K] with K at most "
                f"{len(self.index_names)}. Received: shape {shape}"
            )
        for name in ("similarities", "inliers", "scores"):
            values = getattr(self, name)
            if values is not None and values.shape != shape:
                raise ValueError(
                    f"`{name}` must have the shape of `ranks`, {shape}. "
                    f"Received: {values.shape}"
                )

    @property
    def is_complete(self) -> bool:
        """Whether every index image is ranked for every query."""
        return self.ranks.shape[1] == len(self.index_names)

    def ordered(self, order: np.ndarray) -> "SearchResults":
        """Returns the same results in another order.

        Args:
            order: int [Q, K], for each place the place it had before.
        """

        def take(values: np.ndarray | None) -> np.ndarray | None:
            if values is None:
                return None
            return np.take_along_axis(values, order, axis=1)

        return dataclasses.replace(
            self,
            ranks=take(self.ranks),
            similarities=take(self.similarities),
            inliers=take(self.inliers),
            scores=take(self.scores),
        )

    def first(self, count: int | None) -> "SearchResults":
        """Returns the first `count` images of each list; None for all."""
        return self.ordered(
            np.tile(
                np.arange(self.ranks.shape[1])[:count], (len(self.ranks), 1)
            )
        )

    def without_reranking(self) -> "SearchResults":
        """Returns the ranking without inliers, equal images by id.

        It is by `scores`, or by similarity if there are none.
        """
        scores = self.similarities if self.scores is None else self.scores
        order = np.lexsort((self.ranks, -scores), axis=1)
        return dataclasses.replace(self.ordered(order), inliers=None)

    def to_rows(self, top: int | None = None) -> list[RankedImage]:
        """Returns the lists line by line, query after query.

        Args:
            top: number of images for each query; None for all.
        """
        return [
            RankedImage(
                query=query,
                rank=place + 1,
                image=self.index_names[image],
                similarity=float(self.similarities[row, place]),
                inliers=(
                    None
                    if self.inliers is None
                    else int(self.inliers[row, place])
                ),
                score=(
                    None
                    if self.scores is None
                    else float(self.scores[row, place])
                ),
            )
            for row, query in enumerate(self.query_names)
            for place, image in enumerate(self.ranks[row, :top].tolist())
        ]

    def save(self, path: PathLike, overwrite: bool = False) -> None:
        """Writes the results as one .npz file.

        Args:
            path: the file to write.
            overwrite: whether it may exist.

        Raises:
            InputError: the file exists and may not be replaced.
        """
        refuse_existing(path, overwrite)
        arrays = {
            "format": np.array(FORMAT),
            "query_names": np.array(self.query_names, dtype=np.str_),
            "index_names": np.array(self.index_names, dtype=np.str_),
            "ranks": self.ranks,
            "similarities": self.similarities,
        }
        if self.inliers is not None:
            arrays["inliers"] = self.inliers
        if self.scores is not None:
            arrays["scores"] = self.scores
        if self.ranked_by != COSINE:
            arrays["ranked_by"] = np.array(self.ranked_by)
        with atomic_write(path) as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: PathLike) -> "SearchResults":
        """Reads results that `save` wrote.

        Raises:
            InputError: the file is missing, damaged or something else.
        """
        arrays = _read_arrays(path)
        if str(arrays.get("format")) != FORMAT:
            raise InputError(f"{path} holds no search results ({FORMAT}).")
        del arrays["format"]
        ranked_by = str(arrays.pop("ranked_by", COSINE))
        names = {
            key: tuple(arrays.pop(key, np.empty(0)).tolist())
            for key in ("query_names", "index_names")
        }
        try:
            results = cls(**names, **arrays, ranked_by=ranked_by)
        except (TypeError, ValueError) as error:
            raise InputError(f"{path} is damaged: {error}") from error
        _check_ids(results, path)
        return results


def _read_arrays(path: PathLike) -> dict[str, np.ndarray]:
    existing_file(path, "file of search results")
    try:
        # Names are plain text, so nothing needs a pickle.
        with np.load(path, allow_pickle=False) as content:
            return {key: content[key] for key in content.files}
    except (
        # A bare array, which is no archive: Python 3.10, and later.
        AttributeError,
        TypeError,
        EOFError,
        OSError,
        ValueError,
        zipfile.BadZipFile,
    ) as error:
        raise InputError(f"{path} is no readable .npz file: {error}") from error


def _check_ids(results: SearchResults, path: PathLike) -> None:
    """Raises InputError unless each row ranks distinct images."""
    ranks = np.sort(results.ranks, axis=1)
    if ranks.size and (
        ranks.dtype.kind not in "iu"
        or ranks.min() < 0
        or ranks.max() >= len(results.index_names)
        or np.any(ranks[:, 1:] == ranks[:, :-1])
    ):
        raise InputError(
            f"{path} is damaged: `ranks` must list distinct index images."
        )
