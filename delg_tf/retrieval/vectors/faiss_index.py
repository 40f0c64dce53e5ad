"""What the approximate kinds share: FAISS finds rows, true similarities rank.

Similarities are those of what `rows` returns, so that kinds can be compared.
"""

import abc

import faiss
import numpy as np

from delg_tf.retrieval.vectors import rescore
from delg_tf.retrieval.vectors.base import Vectors

# Rows to choose from for each that is looked at.
_FEW = 10


class FaissVectors(Vectors):
    """Descriptors that an index of FAISS finds, most of the time."""

    # A subclass opens it.
    _index: faiss.Index

    def __len__(self) -> int:
        return self._index.ntotal

    @property
    def dimension(self) -> int:
        """Length of a descriptor, D."""
        return self._index.d

    @property
    def is_exact(self) -> bool:
        """False."""
        return False

    def search(
        self,
        queries: np.ndarray,
        k: int,
        allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Finds similar rows; see `Vectors.search`."""
        queries = rescore.check_search(
            queries, k, allowed, len(self), self.dimension
        )
        rows, similarities = rescore.empty_results(len(queries), k)
        every = np.arange(len(self))
        if allowed is not None:
            every = np.flatnonzero(allowed)
            allowed = None if len(every) == len(self) else allowed
        if not len(every) or not len(queries):
            return rows, similarities
        depth = min(self._depth(k), len(self))
        found = None
        if not self._is_few(len(every), depth):
            found = self._find(queries, depth, allowed, len(every))

        def refine(query: int) -> tuple[np.ndarray, np.ndarray]:
            ids = every if found is None else np.unique(found[query])
            return rescore.best_of_all(
                self.rows, ids[ids >= 0], queries[query], k
            )

        results = rescore.each_query(refine, len(queries))
        for i, (best, true) in enumerate(results):
            rows[i, : len(best)], similarities[i, : len(best)] = best, true
        return rows, similarities

    @abc.abstractmethod
    def _depth(self, k: int) -> int:
        """Returns how many rows to look for to find k."""

    def _is_few(self, count: int, depth: int) -> bool:
        """Whether comparing all allowed rows takes no longer than `_find`."""
        return count <= _FEW * depth

    @abc.abstractmethod
    def _find(
        self,
        queries: np.ndarray,
        depth: int,
        allowed: np.ndarray | None,
        count: int,
    ) -> np.ndarray:
        """Returns rows int64 [Q, depth], -1 where none was found.

        Args:
            queries: float32 [Q, D].
            depth: number of rows for each.
            allowed: bool [N]; None: all.
            count: number of rows that are allowed.
        """
