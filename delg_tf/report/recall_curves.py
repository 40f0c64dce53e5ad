"""Precision over recall, of a query and as the mean of many."""

from collections.abc import Sequence

import numpy as np

# As of the old TREC curves, but ten times as fine.
RECALL_LEVELS = np.linspace(0, 1, 101)


def precision_at_recall(
    ranks: np.ndarray,
    num_right: int,
    levels: np.ndarray = RECALL_LEVELS,
) -> np.ndarray:
    """Returns a query's interpolated precision at levels of recall.

    At a level this is the highest precision at that recall or a higher one
    (Manning et al., "Introduction to Information Retrieval", 8.4). A level
    that the list does not reach has precision 0. The area under this curve is
    no protocol's AP, because those do not interpolate.

    Args:
        ranks: int [F], ascending places (from 0) of the right images that
            were found, without junk.
        num_right: number of right images, at least F.
        levels: float [L], from 0 to 1.

    Returns:
        float64 [L] from 0 to 1; NaN without right images.

    Raises:
        ValueError: there are more ranks than right images.
    """
    if num_right < len(ranks):
        raise ValueError(
            f"`num_right` must be at least {len(ranks)}, the number of ranks. "
            f"Received: {num_right}"
        )
    if num_right == 0:
        return np.full(len(levels), np.nan)
    found = np.arange(1, len(ranks) + 1)
    precision = found / (np.asarray(ranks) + 1)
    # From behind: the highest at that recall or more.
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    # Recall of the n-th is n / P; compared as numbers of images, with room
    # for the rounding of a level like 0.3.
    needed = np.ceil(np.asarray(levels) * num_right - 1e-9).astype(int)
    place = np.maximum(needed, 1) - 1
    return np.append(highest, np.zeros(num_right - len(ranks)))[place]


def mean_precision_at_recall(curves: Sequence[np.ndarray]) -> np.ndarray:
    """Averages curves over the queries that have right images.

    Args:
        curves: of `precision_at_recall`, each float [L].

    Returns:
        float64 [L]; of length 0 if no query has right images.
    """
    counted = [curve for curve in curves if not np.isnan(curve).any()]
    return np.mean(counted, axis=0) if counted else np.empty(0)
