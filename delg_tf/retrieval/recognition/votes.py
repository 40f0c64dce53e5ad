"""Votes of retrieved images for their classes.

Source: DELG paper, recognition: min(inliers, 70) / 70 + 0.25 * cosine, summed
over the images of a class.
"""

import dataclasses

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.retrieval.descriptors import LEAST_SIMILARITY

# Of a query for which no class is named.
NO_CLASS = -1


@dataclasses.dataclass(frozen=True)
class RecognitionConfig:
    """Settings of recognition.

    Attributes:
        num_votes: images at the top of each list that vote, after re-ranking.
            Of very many the votes by cosine alone outweigh those by inliers
            (experiments/ranking_options).
        max_inliers: inliers beyond this many count nothing.
        similarity_weight: of the cosine beside the share of inliers.
        threshold: confidence below which no class is named; None: a class is
            named whenever an image has voted.
    """

    num_votes: int = 10
    max_inliers: int = 70
    similarity_weight: float = 0.25
    threshold: float | None = None

    def __post_init__(self):
        for name in ("num_votes", "max_inliers"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"{name} must be at least 1, but is {getattr(self, name)}."
                )
        if not self.similarity_weight >= 0:
            raise InputError(
                "similarity_weight must be at least 0, but is "
                f"{self.similarity_weight:g}."
            )


def image_scores(
    similarities: np.ndarray,
    inliers: np.ndarray | None,
    config: RecognitionConfig,
) -> np.ndarray:
    """Returns the votes of images.

    Args:
        similarities: float [Q, K], cosines.
        inliers: int [Q, K]; None without local features: then the vote is the
            cosine.
        config: settings.

    Returns:
        float64 [Q, K]; NaN for images that do not vote, because they or the
        query have no descriptor.
    """
    cosines = similarities.astype(np.float64)
    scores = cosines
    if inliers is not None:
        share = np.minimum(inliers, config.max_inliers) / config.max_inliers
        scores = share + config.similarity_weight * cosines
    return np.where(cosines > LEAST_SIMILARITY, scores, np.nan)


def predict_classes(
    scores: np.ndarray, labels: np.ndarray, threshold: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Names the class with the largest sum of votes.

    Args:
        scores: float64 [Q, K], votes, best image first; NaN: none.
        labels: int64 [Q, K], classes of the images; negative: it has none and
            does not vote.
        threshold: confidence below which no class is named, or None.

    Returns:
        classes: int64 [Q]; of equal ones that whose first image is ranked
            higher; `NO_CLASS` if none is named.
        confidences: float64 [Q], the sum of votes of the best class, also
            where it is below the threshold; 0 where no image has voted.
    """
    classes = np.full(len(scores), NO_CLASS, np.int64)
    confidences = np.zeros(len(scores))
    votes = (labels >= 0) & ~np.isnan(scores)
    for row in np.flatnonzero(votes.any(axis=1)):
        voting = votes[row]
        known, first, group = np.unique(
            labels[row, voting], return_index=True, return_inverse=True
        )
        sums = np.bincount(group, scores[row, voting])
        best = np.lexsort((first, -sums))[0]
        confidences[row] = sums[best]
        if threshold is None or sums[best] >= threshold:
            classes[row] = known[best]
    return classes, confidences
