"""What a search finds."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from delg_tf.retrieval.descriptors import LEAST_SIMILARITY
from delg_tf.retrieval.vectors.base import NO_ROW, NO_SIMILARITY


@dataclasses.dataclass(frozen=True, eq=False)
class SearchHits:
    """Images found for Q queries.

    Attributes:
        names: of images, all of the index or at least those found; an id is
            a position here.
        ids: int64 [Q, K], most similar first, equal ones by id; `NO_ROW`
            after the last, where an approximate search has found fewer.
        similarities: float32 [Q, K], in the same order; `LEAST_SIMILARITY`
            if one of the two images has no descriptor, `NO_SIMILARITY` after
            the last.
    """

    names: Sequence[str]
    ids: np.ndarray
    similarities: np.ndarray

    def names_of(self, row: int) -> list[str]:
        """Returns the names of the images found for a query."""
        return [self.names[i] for i in self.ids[row] if i != NO_ROW]

    def filled(self, candidates: np.ndarray) -> "SearchHits":
        """Returns hits without gaps.

        Args:
            candidates: int64, ascending ids of all images that may be found.
                Those not found follow by id, with `LEAST_SIMILARITY`.
        """
        ids, similarities = self.ids.copy(), self.similarities.copy()
        for row in np.flatnonzero((ids == NO_ROW).any(axis=1)):
            gaps = ids[row] == NO_ROW
            rest = np.setdiff1d(candidates, ids[row])[: gaps.sum()]
            ids[row, gaps] = rest
            similarities[row, gaps] = LEAST_SIMILARITY
        return dataclasses.replace(self, ids=ids, similarities=similarities)


def best_hits(
    ids: np.ndarray, similarities: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the best of candidates.

    Args:
        ids: int64 [Q, M], of M candidates of each query, `NO_ROW` for none.
        similarities: float32 [Q, M], `NO_SIMILARITY` for none.
        k: how many to keep, at most M.

    Returns:
        ids, similarities: [Q, k], as in `SearchHits`.
    """
    order = np.lexsort((ids, -similarities), axis=1)[:, :k]
    ids = np.take_along_axis(ids, order, axis=1)
    similarities = np.take_along_axis(similarities, order, axis=1)
    similarities[ids == NO_ROW] = NO_SIMILARITY
    return ids, similarities
