"""Retrieval metrics of Revisited Oxford and Paris; needs NumPy only.

Everything starts from the ranks of the positives: for one query the places
(from 0) of the right images in its ranked list after the junk images have
been taken out of the list.

Average precision is the area under the precision-recall curve by the
trapezoidal rule. That is not scikit-learn's `average_precision_score`, which
sums rectangles: for positives at ranks 0, 2, 5 this is 0.6778, that is
(1 + 2/3 + 3/6) / 3 = 0.7222. Nor is it the mean average precision of Google
Landmarks, which sums rectangles too, up to rank 100.

Source: Radenovic et al., "Revisiting Oxford and Paris", CVPR 2018; the
numbers equal those of the official datasets/revisited_op/dataset.py.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

PRECISION_RANKS = (1, 5, 10)


@dataclasses.dataclass(frozen=True, eq=False)
class RetrievalMetrics:
    """Metrics of Q queries, as fractions; NaN for queries without positives.

    Attributes:
        cutoffs: the k of precision and recall, K of them.
        average_precision: float64 [Q].
        precision: float64 [Q, K], precision at each k.
        recall: float64 [Q, K], recall at each k.
    """

    cutoffs: tuple[int, ...]
    average_precision: np.ndarray
    precision: np.ndarray
    recall: np.ndarray

    @property
    def mean_average_precision(self) -> float:
        """Mean over queries with positives; NaN if there is none."""
        return float(_mean_of_queries(self.average_precision))

    @property
    def mean_precision(self) -> np.ndarray:
        """float64 [K], mean over queries with positives."""
        return _mean_of_queries(self.precision)

    @property
    def mean_recall(self) -> np.ndarray:
        """float64 [K], mean over queries with positives."""
        return _mean_of_queries(self.recall)


def positive_ranks(
    ranking: np.ndarray, positives: np.ndarray, junk: np.ndarray
) -> np.ndarray:
    """Returns where the positives are once junk is out of the list.

    Args:
        ranking: int [N], ids of all index images, best first.
        positives: int [P], ids of the right images.
        junk: int [J], ids of the images that do not count.

    Returns:
        int64 [P], ascending, counted from 0.

    Raises:
        ValueError: a positive is not in the ranking, or is junk too.
    """
    is_positive = np.isin(ranking, positives)
    is_junk = np.isin(ranking, junk)
    if np.any(is_positive & is_junk):
        raise ValueError(
            "`positives` and `junk` must not overlap. Received both: "
            f"{ranking[is_positive & is_junk].tolist()}"
        )
    places = np.flatnonzero(is_positive)
    if len(places) != len(positives):
        raise ValueError(
            "`ranking` must hold each positive once. Received: "
            f"{len(places)} of {len(positives)}"
        )
    return places - np.cumsum(is_junk)[places]


def ranks_without_junk(places: np.ndarray, junk: np.ndarray) -> np.ndarray:
    """Returns where the positives are once junk is out of the list.

    As `positive_ranks`, from places in a list that is not at hand.

    Args:
        places: int [P], places of the right images, from 0.
        junk: int [J], places of the images that do not count.

    Returns:
        int64 [P], ascending, counted from 0.

    Raises:
        ValueError: a place comes twice.
    """
    places, junk = np.sort(places), np.sort(junk)
    every = np.concatenate([places, junk])
    if len(np.unique(every)) != len(every):
        raise ValueError(
            "`places` and `junk` must be places of different images. "
            f"Received: {places.tolist()} and {junk.tolist()}"
        )
    return places - np.searchsorted(junk, places)


def average_precision(ranks: np.ndarray) -> float:
    """Returns the area under the precision-recall curve.

    Recall grows by 1/P at each positive. There the precision goes from that
    of the list just above it to that of the list with it; the trapezoid takes
    their mean. Above the first place precision is 1.

    Args:
        ranks: int [P], ascending ranks of the positives, from 0.

    Returns:
        A value from 0 to 1; NaN without positives.
    """
    ranks = np.asarray(ranks, dtype=np.float64)
    if not ranks.size:
        return float("nan")
    found = np.arange(len(ranks))
    above = np.where(ranks == 0, 1.0, found / np.maximum(ranks, 1.0))
    with_it = (found + 1) / (ranks + 1)
    return float(np.mean((above + with_it) / 2))


def precision_and_recall_at(
    ranks: np.ndarray, cutoffs: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns precision and recall of the first k images.

    The list ends at its last positive: where that is within the first k,
    precision is taken there, so that a short list of positives which are all
    in front is not punished.

    Args:
        ranks: int [P], ascending ranks of the positives, from 0.
        cutoffs: K values of k, each at least 1.

    Returns:
        precision: float64 [K]; NaN without positives.
        recall: float64 [K]; NaN without positives.
    """
    cutoffs = np.asarray(cutoffs)
    if np.any(cutoffs < 1):
        raise ValueError(
            f"`cutoffs` must be at least 1. Received: {cutoffs.tolist()}"
        )
    ranks = np.asarray(ranks)
    if not ranks.size:
        nothing = np.full(len(cutoffs), np.nan)
        return nothing, nothing.copy()
    lengths = np.minimum(cutoffs, ranks[-1] + 1)
    hits = np.searchsorted(ranks, lengths, side="left")
    return hits / lengths, hits / len(ranks)


def compute_metrics(
    rankings: np.ndarray,
    positives: Sequence[np.ndarray],
    junk: Sequence[np.ndarray],
    cutoffs: Sequence[int] = PRECISION_RANKS,
) -> RetrievalMetrics:
    """Computes all metrics of Q queries.

    Args:
        rankings: int [Q, N], ids of all index images, best first.
        positives: for each query the ids of the right images.
        junk: for each query the ids of the images that do not count.
        cutoffs: the k of precision and recall, at most N.

    Raises:
        ValueError: shapes do not fit, or a cutoff is larger than the index.
    """
    rankings = np.asarray(rankings)
    if rankings.ndim != 2 or not (len(rankings) == len(positives) == len(junk)):
        raise ValueError(
            "`rankings` must be [Q, N], with one list of positives and one "
            f"of junk a query. Received: shape {rankings.shape}, "
            f"{len(positives)} and {len(junk)} lists"
        )
    if max(cutoffs, default=0) > rankings.shape[1]:
        raise ValueError(
            f"`cutoffs` must not exceed the index size, {rankings.shape[1]}. "
            f"Received: {list(cutoffs)}"
        )
    return metrics_of_ranks(
        [
            positive_ranks(ranking, right, out)
            for ranking, right, out in zip(rankings, positives, junk)
        ],
        cutoffs,
    )


def metrics_of_ranks(
    ranks: Sequence[np.ndarray], cutoffs: Sequence[int] = PRECISION_RANKS
) -> RetrievalMetrics:
    """Computes all metrics of Q queries from where their positives are.

    Args:
        ranks: for each query int [P], ascending ranks of its positives once
            junk is out of the list, from 0: see `positive_ranks`, or
            `ranks_without_junk` where there is no list.
        cutoffs: the k of precision and recall, at most the index size.
    """
    precision = np.empty((len(ranks), len(cutoffs)))
    recall = np.empty_like(precision)
    averages = np.empty(len(ranks))
    for row, found in enumerate(ranks):
        averages[row] = average_precision(found)
        precision[row], recall[row] = precision_and_recall_at(found, cutoffs)
    return RetrievalMetrics(tuple(cutoffs), averages, precision, recall)


def _mean_of_queries(values: np.ndarray) -> np.ndarray:
    """Means over the first axis, queries without positives left out."""
    counted = values[~np.isnan(values).reshape(len(values), -1).any(axis=1)]
    if not len(counted):
        return np.full(values.shape[1:], np.nan)
    return counted.mean(axis=0)
