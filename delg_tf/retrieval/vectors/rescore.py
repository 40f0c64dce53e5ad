"""True similarities and the order of results.

A similarity is the inner product in float64, rounded to float32. Each row's
is computed by itself and in one order, so that equal rows have equal
similarities whatever they are compared with, and all kinds of search agree.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from delg_tf.retrieval.vectors.base import NO_ROW, NO_SIMILARITY

_BLOCK = 128
# Error of a similarity, relative to the norms: rounding to float32, and
# float64 sums, far below.
ERROR = 2.0**-23

Decode = Callable[[np.ndarray], np.ndarray]


def similarities(
    decode: Decode, rows: np.ndarray, query: np.ndarray
) -> np.ndarray:
    """Returns float32 [M], the similarities of rows to one query.

    Args:
        decode: returns the float32 descriptors of rows.
        rows: int64 [M].
        query: float32 [D].
    """
    query = query.astype(np.float64)
    found = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        found[part] = np.einsum(
            "nd,d->n", decode(rows[part]).astype(np.float64), query
        )
    return found


def best(
    rows: np.ndarray, found: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the k most similar rows and similarities, equal ones by row."""
    if len(found) > 4 * k:
        cut = np.partition(found, len(found) - k)[len(found) - k]
        rows, found = rows[found >= cut], found[found >= cut]
    order = np.lexsort((rows, -found))[:k]
    return rows[order], found[order]


def best_of_all(
    decode: Decode, rows: np.ndarray, query: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the k most similar of rows, comparing each of them."""
    return best(rows, similarities(decode, rows, query), k)


def best_of_candidates(
    decode: Decode,
    rows: np.ndarray,
    scores: np.ndarray,
    error: float,
    query: np.ndarray,
    k: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the k most similar of candidates.

    Args:
        decode: returns the float32 descriptors of rows.
        rows: int64 [M], the candidates.
        scores: float32 [M], their approximate scores.
        error: bound on the error of the scores.
        query: float32 [D].
        k: number of rows.
    """
    if len(rows) <= k:
        return best_of_all(decode, rows, query, k)
    order = np.argpartition(-scores, k - 1)
    first, rest = order[:k], order[k:]
    found = similarities(decode, rows[first], query)
    # The k-th true similarity is at least this.
    rest = rest[scores[rest] >= float(found.min()) - error]
    others = similarities(decode, rows[rest], query)
    chosen = np.concatenate([rows[first], rows[rest]])
    return best(chosen, np.concatenate([found, others]), k)


def each_query(
    function: Callable[[int], tuple[np.ndarray, np.ndarray]], count: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the function's results for 0 to count - 1, found by threads."""
    if count == 1:
        return [function(0)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, range(count)))


def empty_results(queries: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns lists without a row: int64 and float32 [Q, k]."""
    return (
        np.full((queries, k), NO_ROW, np.int64),
        np.full((queries, k), NO_SIMILARITY, np.float32),
    )


def check_search(
    queries: np.ndarray,
    k: int,
    allowed: np.ndarray | None,
    rows: int,
    dimension: int,
) -> np.ndarray:
    """Returns queries as float32, contiguous.

    Raises:
        ValueError: an argument of `Vectors.search` is not as it says.
    """
    queries = np.ascontiguousarray(queries, np.float32)
    if queries.ndim != 2 or queries.shape[1] != dimension:
        raise ValueError(
            f"`queries` must be [Q, {dimension}]. Received: shape "
            f"{queries.shape}"
        )
    if not np.isfinite(queries).all():
        raise ValueError("`queries` must be finite. Received: NaN or inf")
    if k < 1:
        raise ValueError(f"`k` must be 1 or more. Received: {k}")
    if allowed is not None and (
        allowed.dtype != bool or allowed.shape != (rows,)
    ):
        raise ValueError(
            f"`allowed` must be bool [{rows}]. Received: {allowed.dtype} "
            f"{list(allowed.shape)}"
        )
    return queries
