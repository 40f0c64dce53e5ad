"""How much of the exact result an approximate kind finds."""

import numpy as np

from delg_tf.retrieval.vectors.base import NO_ROW, Vectors


def measured_recall(
    vectors: Vectors, exact: Vectors, queries: np.ndarray, k: int
) -> float:
    """Returns recall@k: the share of the exact best k that were found.

    Args:
        vectors: what is measured.
        exact: the same rows, searched exactly.
        queries: float32 [Q, D], L2-normalised; not of the rows themselves,
            or each finds itself.
        k: length of the lists.

    Raises:
        ValueError: the two have different numbers of rows, `exact` is not
            exact, or there are no queries.
    """
    if len(vectors) != len(exact) or not exact.is_exact or not len(queries):
        raise ValueError(
            "`exact` must search the same rows exactly, for one query or "
            f"more. Received: {len(exact)} and {len(vectors)} rows, "
            f"{len(queries)} queries"
        )
    found, _ = vectors.search(queries, k)
    wanted, _ = exact.search(queries, k)
    hits = sum(
        np.isin(row[row != NO_ROW], other).sum()
        for row, other in zip(wanted, found, strict=True)
    )
    return float(hits / np.sum(wanted != NO_ROW))
