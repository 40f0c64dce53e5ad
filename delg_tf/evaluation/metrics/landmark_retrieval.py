"""Google Landmarks v2, retrieval: mAP@100 and what stands beside it.

For a query with R right index images, and rel(i) 1 where place i of the list
holds one of them for the first time, else 0:

- AP@100 = 1 / min(R, 100) * sum over i = 1..100 of P(i) * rel(i), where P(i) is
  the sum of rel(1..i) / i. A repeated image keeps its place and is wrong there.
- P@k = sum of rel(1..k) / k for k = 1..100. A shorter list is filled up with
  wrong images; unlike in Revisited Oxford, k is not cut at the last positive.
- First-correct position: the smallest i with rel(i) = 1, from 1; 101 if none
  is among the first 100.

Means are over all queries of the solution: a query without a prediction has
AP and P@k of 0 and position 101. A query with nothing to find has no AP (the
official code divides by zero there); it is NaN and left out of all means.

Traps. scikit-learn's `average_precision_score` knows neither 100 nor images
that the list lacks. ranx's `map@100` divides by R, so it is the same only
where R <= 100 for all; torchmetrics' `RetrievalMAP(top_k=100)` divides by the
hits found, so it is higher. `metrics.revisited` takes trapezoids and leaves
junk out; there is no junk here.

Source: metrics.py of the official package (`research/delf`), written again
from its rules; Weyand et al., "Google Landmarks Dataset v2", CVPR 2020.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from delg_tf.evaluation.metrics.truncated import (
    first_hits,
    precision_at_hits,
)

MAX_PREDICTIONS = 100
# Of a query none of whose first 100 images is right.
NOT_FOUND = MAX_PREDICTIONS + 1


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkRetrievalMetrics:
    """Metrics of Q queries, as fractions; NaN for queries without positives.

    Attributes:
        query_ids: the queries, in the order of the solution.
        average_precision: float64 [Q], AP@100.
        precision: float64 [Q, 100], P@k in column k - 1.
        first_correct: float64 [Q], place of the first right image, 1 to 101.
    """

    query_ids: tuple[str, ...]
    average_precision: np.ndarray
    precision: np.ndarray
    first_correct: np.ndarray

    @property
    def num_queries(self) -> int:
        """Number of the queries that count: those with positives."""
        return int(np.count_nonzero(self._counted))

    @property
    def mean_average_precision(self) -> float:
        """mAP@100; NaN if no query has positives."""
        return float(self._mean(self.average_precision))

    @property
    def precision_at(self) -> np.ndarray:
        """float64 [100], mean P@k for k = 1..100."""
        return self._mean(self.precision)

    @property
    def mean_first_correct(self) -> float:
        """Mean place of the first right image."""
        return float(self._mean(self.first_correct))

    @property
    def median_first_correct(self) -> float:
        """Its median; a half where the two middle ones differ."""
        places = self.first_correct[self._counted]
        return float(np.median(places)) if len(places) else float("nan")

    @property
    def _counted(self) -> np.ndarray:
        return ~np.isnan(self.average_precision)

    def _mean(self, values: np.ndarray) -> np.ndarray:
        counted = values[self._counted]
        if not len(counted):
            return np.full(values.shape[1:], np.nan)
        return counted.mean(axis=0)


def evaluate_landmark_retrieval(
    predictions: Mapping[str, Sequence[str]],
    solution: Mapping[str, Collection[str]],
) -> LandmarkRetrievalMetrics:
    """Evaluates lists of index images by their ids.

    Args:
        predictions: for each query its list, best first; what comes after 100
            does not count. Queries may be missing.
        solution: for each query the ids of the right index images.

    Raises:
        ValueError: a prediction is of a query that the solution lacks.
    """
    unknown = [query for query in predictions if query not in solution]
    if unknown:
        raise ValueError(
            "`predictions` must be of queries in the solution. Received "
            f"{len(unknown)} others, the first is {unknown[0]!r}"
        )
    averages = np.full(len(solution), np.nan)
    precision = np.full((len(solution), MAX_PREDICTIONS), np.nan)
    first = np.full(len(solution), np.nan)
    places = np.arange(1, MAX_PREDICTIONS + 1)
    for row, (query, positives) in enumerate(solution.items()):
        count = len(set(positives))
        if not count:
            continue
        hits = first_hits(
            predictions.get(query, ()), positives, MAX_PREDICTIONS
        )
        sums = precision_at_hits(hits).sum()
        averages[row] = sums / min(count, MAX_PREDICTIONS)
        whole = np.pad(hits, (0, MAX_PREDICTIONS - len(hits)))
        precision[row] = np.cumsum(whole) / places
        first[row] = 1 + np.argmax(hits) if hits.any() else NOT_FOUND
    return LandmarkRetrievalMetrics(tuple(solution), averages, precision, first)
