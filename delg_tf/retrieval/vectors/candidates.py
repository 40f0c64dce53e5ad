"""Candidates: all rows that may be among the best, by approximate scores.

An approximate score differs from the true one by at most `error`, which is
proven (see `flat.py`), not measured. If t is the k-th best approximate score,
k rows truly have t - error or more, so that a row of the best k has an
approximate score of at least t - 2 error. All of those are candidates.
"""

import itertools
from collections.abc import Iterator

import numpy as np

# Rows whose greatest score is kept. A k-th greatest of these is at most the
# k-th greatest score, and much cheaper to find.
_BLOCK = 64
# Candidates of all queries together before those are dropped that better
# ones have outdone.
_MANY = 1 << 21
# Scores that are looked at in one go.
_GROUP = 16384


class Candidates:
    """Collects candidates while scores arrive.

    Attributes:
        dense: bool [Q], queries with too many candidates, which were given up.
    """

    def __init__(self, errors: np.ndarray, k: int, most: int):
        """Prepares the collection.

        Args:
            errors: float64 [Q], bounds on the error of each query's scores.
            k: number of rows to find.
            most: candidates a query may have.
        """
        self._slack = 2 * errors
        self._k = k
        self._most = most
        self._best = np.full((len(errors), 0), -np.inf, np.float32)
        self._least = np.full(len(errors), -np.inf)
        self._found: list[tuple[np.ndarray, ...]] = []
        self._count = 0
        self.dense = np.zeros(len(errors), bool)

    def add(self, first: int, scores: np.ndarray) -> None:
        """Takes scores.

        Args:
            first: row of the first column.
            scores: float32 [Q, M]; -inf for rows that may not be found.
        """
        queries, count = scores.shape
        blocks = -(-count // _BLOCK)
        if blocks * _BLOCK != count:
            padded = np.full((queries, blocks * _BLOCK), -np.inf, np.float32)
            padded[:, :count] = scores
            scores = padded
        # Blocks of rows far apart: the best are often neighbours, and NumPy
        # is faster so.
        scores = scores.reshape(queries, _BLOCK, blocks)
        tops = scores.max(axis=1)
        self._raise_least(tops)
        query, block = np.nonzero(tops >= self._least[:, None])
        part = scores[query, :, block]
        hit, place = np.nonzero(
            (part >= self._least[query, None]) & (part > -np.inf)
        )
        rows = first + place * blocks + block[hit]
        self._found.append((query[hit], rows, part[hit, place]))
        self._count += len(hit)
        if self._count > _MANY:
            self._drop()

    def lists(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns rows and float32 scores of each query; none if dense."""
        self._drop()
        query, rows, scores = self._found[0]
        order = np.argsort(query, kind="stable")
        ends = np.searchsorted(query[order], np.arange(len(self.dense) + 1))
        return [
            (rows[order[start:end]], scores[order[start:end]])
            for start, end in itertools.pairwise(ends)
        ]

    def _raise_least(self, tops: np.ndarray) -> None:
        best = np.concatenate([self._best, tops], axis=1)
        if best.shape[1] >= self._k:
            place = best.shape[1] - self._k
            best = np.partition(best, place, axis=1)[:, place:]
            self._set_least(slice(None), best.min(axis=1))
        self._best = best

    def _set_least(
        self, queries: slice | int, kth: np.ndarray | np.float32
    ) -> None:
        self._least[queries] = np.maximum(
            self._least[queries], kth - self._slack[queries]
        )
        self._least[self.dense] = np.inf

    def _drop(self) -> None:
        query, rows, scores = (
            np.concatenate(parts) for parts in zip(*self._found, strict=True)
        )
        for i, count in enumerate(np.bincount(query)):
            if count > self._k:
                mine = scores[query == i]
                place = count - self._k
                self._set_least(i, np.partition(mine, place)[place])
                if np.sum(mine >= self._least[i]) > self._most:
                    self.dense[i] = True
                    self._least[i] = np.inf
        keep = scores >= self._least[query]
        self._found = [(query[keep], rows[keep], scores[keep])]
        self._count = int(keep.sum())


def grouped(
    parts: Iterator[tuple[int, np.ndarray]],
) -> Iterator[tuple[int, np.ndarray]]:
    """Joins neighbouring parts of scores until there are enough of them."""
    first, waiting, count = 0, [], 0
    for start, scores in parts:
        if scores.shape[1] >= _GROUP:
            yield start, scores
            continue
        if not waiting:
            first = start
        waiting.append(scores.copy())
        count += scores.shape[1]
        if count >= _GROUP:
            yield first, np.concatenate(waiting, axis=1)
            waiting, count = [], 0
    if waiting:
        yield first, np.concatenate(waiting, axis=1)
