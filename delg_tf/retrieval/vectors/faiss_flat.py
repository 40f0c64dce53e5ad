"""Candidates by FAISS's products in float32."""

from collections.abc import Iterator

import faiss
import numpy as np

from delg_tf.retrieval.vectors.codes import Codes
from delg_tf.retrieval.vectors.files import blocks

# Looked at beyond k, so that a second pass is hardly ever needed.
_MORE = 28


def faiss_candidates(
    codes: Codes,
    queries: np.ndarray,
    k: int,
    ids: np.ndarray | None,
    errors: np.ndarray,
) -> list[tuple[np.ndarray, np.ndarray] | None]:
    """Finds all rows that may be among the best k.

    Args:
        codes: the stored rows.
        queries: float32 [Q, D].
        k: number of rows for each query, at most half of those there are.
        ids: int64 [M], the rows that may be found, ascending; None: all.
        errors: float64 [Q], bounds on the error of FAISS's scores.

    Returns:
        Rows and float32 scores of each query; None where half of all rows
        are candidates.
    """
    count = len(codes.array) if ids is None else len(ids)
    lists: list[tuple[np.ndarray, np.ndarray] | None] = [None] * len(queries)
    todo = np.arange(len(queries))
    depth = k + _MORE
    while todo.size and depth < max(count // 2, k + _MORE + 1):
        scores, rows = _deepest(codes, queries[todo], depth, ids)
        kth = -np.partition(-scores, k - 1, axis=1)[:, k - 1]
        least = kth.astype(np.float64) - 2 * errors[todo]
        # What was not returned scores at most what came last.
        complete = scores.min(axis=1) < least
        if depth >= count:
            complete[:] = True
        for place in np.flatnonzero(complete):
            keep = scores[place] >= least[place]
            lists[todo[place]] = rows[place, keep], scores[place, keep]
        todo = todo[~complete]
        depth *= 4
    return lists


def _deepest(
    codes: Codes, queries: np.ndarray, depth: int, ids: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns scores and rows [Q, depth], -inf and -1 beyond the last."""
    best = np.full((len(queries), depth), -np.inf, np.float32)
    best_rows = np.full(best.shape, -1)
    for rows, first, block in _blocks(codes, ids):
        scores, places = faiss.knn(
            queries,
            block,
            min(depth, len(block)),
            metric=faiss.METRIC_INNER_PRODUCT,
        )
        found = places + first if rows is None else rows[places]
        if len(block) == len(codes.array):
            best[:, : scores.shape[1]] = scores
            best_rows[:, : scores.shape[1]] = found
            break
        scores = np.concatenate([best, scores], axis=1)
        found = np.concatenate([best_rows, found], axis=1)
        order = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
        best = np.take_along_axis(scores, order, axis=1)
        best_rows = np.take_along_axis(found, order, axis=1)
    return best, best_rows


def _blocks(
    codes: Codes, ids: np.ndarray | None
) -> Iterator[tuple[np.ndarray | None, int, np.ndarray]]:
    """Yields rows (None: neighbours), the first, and float32 values."""
    rows, dimension = codes.array.shape
    if ids is None and codes.array.dtype == np.float32:
        yield None, 0, codes.array
        return
    for start, stop in blocks(rows if ids is None else len(ids), dimension):
        if ids is None:
            yield None, start, codes.decode(slice(start, stop))
        else:
            yield ids[start:stop], start, codes.decode(ids[start:stop])
