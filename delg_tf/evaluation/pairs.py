"""How well numbers of inliers tell pairs of one landmark from others.

All pairs are ranked by inliers, and the ranking is measured by average
precision. Source: DELG paper, table 1.
"""

import dataclasses

import numpy as np

from delg_tf.data.pairs import ImagePairs
from delg_tf.evaluation.metrics.pairs import (
    PrecisionRecall,
    precision_recall_curve,
)
from delg_tf.matching.config import MatchingConfig
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.inlier_counter import InlierCounter


@dataclasses.dataclass(frozen=True, eq=False)
class PairMetrics:
    """How P pairs of images are told apart.

    Attributes:
        average_precision: as a fraction; see `metrics.pairs`.
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
        average_precision=curve.average_precision,
        matches=pairs.matches,
        inliers=inliers,
        curve=curve,
        problems=tuple(counter.problems),
    )
