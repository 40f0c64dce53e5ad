"""How well numbers of inliers tell pairs of one landmark from others.

All pairs are ranked by inliers, and the ranking is measured by average
precision. Source: DELG paper, table 1.
"""

import dataclasses

import numpy as np

from delg_tf.data.pairs import ImagePairs
from delg_tf.matching.config import MatchingConfig
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.inlier_counter import InlierCounter


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


@dataclasses.dataclass(frozen=True, eq=False)
class PairMetrics:
    """How P pairs of images are told apart.

    Attributes:
        average_precision: as a fraction; see `pair_average_precision`.
        matches: bool [P], which pairs match.
        inliers: int32 [P], inliers of each pair.
        curve: precision and recall over the number of inliers.
        problems: messages about damaged feature files, whose pairs count 0.
    """

    average_precision: float
    matches: np.ndarray
    inliers: np.ndarray
    curve: PrecisionRecall
    problems: tuple[str, ...] = ()

    @property
    def num_pairs(self) -> int:
        """Number of all pairs, P."""
        return len(self.matches)

    @property
    def num_matching(self) -> int:
        """Number of the matching pairs."""
        return int(np.count_nonzero(self.matches))

    @property
    def chance(self) -> float:
        """Share of the matching pairs: what counts without meaning give."""
        return self.num_matching / self.num_pairs


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
    precision of Revisited Oxford (`evaluation.metrics`): that joins the
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
    return _area(precision_recall_curve(scores, matches))


def evaluate_pairs(
    pairs: ImagePairs,
    query_store: FeatureStore,
    index_store: FeatureStore,
    config: MatchingConfig,
    num_threads: int | None = None,
) -> PairMetrics:
    """Counts the inliers of pairs and says how well they tell matches.

    Args:
        pairs: names of the images, and which match; at least one does.
        query_store: local features of the query images.
        index_store: local features of the index images.
        config: how two images are matched.
        num_threads: pairs verified at the same time; None for one a
            processor. The result does not depend on it.

    Raises:
        InputError: files of local features are missing, or differ in the
            depth of their descriptors.
    """
    counter = InlierCounter(query_store, index_store, config, num_threads)
    inliers = counter.count(pairs.names())
    curve = precision_recall_curve(inliers, pairs.matches)
    return PairMetrics(
        average_precision=_area(curve),
        matches=pairs.matches,
        inliers=inliers,
        curve=curve,
        problems=tuple(counter.problems),
    )


def _area(curve: PrecisionRecall) -> float:
    return float(np.diff(curve.recall, prepend=0.0) @ curve.precision)
