"""Average precision of ranked pairs of images; needs NumPy only.

Formula: AP = sum over thresholds t of (R(t) - R(t before)) * P(t), where a
threshold is a distinct score, strictest first, R is the share of the matching
pairs that score at least t, P the share of matching ones among all that do.

Source: DELG paper, table 1, where pairs are ranked by their inliers.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Precision and recall at each of T thresholds, the strictest first.

    Attributes:
        thresholds: [T], the distinct scores, falling; a pair is taken for a
            match if its score is at least the threshold.
        precision: float64 [T], share of the matching among the taken pairs.
        recall: float64 [T], share of the taken among the matching pairs;
            ends at 1.
    """

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray

    @property
    def average_precision(self) -> float:
        """Area under the steps: see `pair_average_precision`."""
        return float(np.diff(self.recall, prepend=0.0) @ self.precision)


def precision_recall_curve(
    scores: np.ndarray, matches: np.ndarray
) -> PrecisionRecall:
    """Returns precision and recall at every threshold that makes a difference.

    Args:
        scores: [P] real numbers, higher for pairs more likely to match.
        matches: bool [P], which pairs match; at least one does.

    Raises:
        ValueError: shapes or types do not fit, a score is NaN, or no pair
            matches.
    """
    scores, matches = np.asarray(scores), np.asarray(matches)
    if (
        scores.ndim != 1
        or scores.shape != matches.shape
        or matches.dtype != np.bool_
    ):
        raise ValueError(
            "`scores` must be [P] and `matches` bool [P]. Received: shape "
            f"{scores.shape}, and {matches.dtype} of shape {matches.shape}"
        )
    if np.isnan(scores).any() or not matches.any():
        raise ValueError(
            "`scores` must be numbers, and `matches` must have a True. "
            f"Received: {np.count_nonzero(np.isnan(scores))} NaN, "
            f"{np.count_nonzero(matches)} True"
        )
    thresholds, group = np.unique(scores, return_inverse=True)
    size = len(thresholds)
    taken = np.bincount(group, minlength=size)[::-1].cumsum()
    found = np.bincount(group[matches], minlength=size)[::-1].cumsum()
    return PrecisionRecall(thresholds[::-1], found / taken, found / found[-1])


def pair_average_precision(scores: np.ndarray, matches: np.ndarray) -> float:
    """Returns the area under the stepwise precision-recall curve.

    Sum over the thresholds of (growth of recall) * (precision there). All
    pairs of one score are taken by one threshold: numbers of inliers have
    very many ties, 0 above all, and any order among them would be made up.
    So the order in which pairs are listed does not matter, and equal scores
    for all give the share of the matching pairs.

    This is scikit-learn's `average_precision_score`, not the average
    precision of Revisited Oxford (`metrics.revisited`): that joins the
    points of a ranking without ties by trapezoids. For matches at ranks 0, 2,
    5 this is 0.7222, that 0.6778.

    Args:
        scores: [P] real numbers, higher for pairs more likely to match.
        matches: bool [P], which pairs match; at least one does.

    Returns:
        A value from 0 to 1.

    Raises:
        ValueError: as `precision_recall_curve`.
    """
    return precision_recall_curve(scores, matches).average_precision
