"""Matching two images by their local features."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.matching import transform
from delg_tf.matching.backends import make_verifier
from delg_tf.matching.config import MatchingConfig
from delg_tf.matching.prepared import Features, PreparedFeatures
from delg_tf.matching.putative import putative_matches_of_images
from delg_tf.matching.verifier import Verification, Verifier


@dataclasses.dataclass(frozen=True, eq=False)
class Match:
    """How a query image and an index image match.

    Attributes:
        putative: [M, 2] int32, (query feature, index feature).
        inliers: [M] bool, the putative matches that agree with the model.
        model: [2, 3] float64, query location = model @ [y, x, 1] of the index
            location, (y, x) in pixels; a homography is [3, 3], whose third
            number divides the others; None where no model was found.
        num_inliers: the score of the pair.
    """

    putative: np.ndarray
    inliers: np.ndarray
    model: np.ndarray | None
    num_inliers: int


def match_local_features(
    query: Features | PreparedFeatures,
    index: Features | PreparedFeatures,
    config: MatchingConfig,
    verifier: Verifier | None = None,
) -> Match:
    """Matches two images: nearest neighbours, then geometric verification.

    Args:
        query: features of the query image; may be empty. Prepare them once
            where many images are matched with it.
        index: features of the index image; may be empty.
        config: the settings.
        verifier: one to use for many pairs; made of `config` where None.

    Returns:
        The putative matches and which are inliers.

    Raises:
        InputError: the two images' descriptors differ in their depth.
    """
    return match_with_many(query, [index], config, verifier)[0]


def match_with_many(
    query: Features | PreparedFeatures,
    indexes: Sequence[Features | PreparedFeatures],
    config: MatchingConfig,
    verifier: Verifier | None = None,
) -> list[Match]:
    """Matches a query with several images: faster than one after the other.

    Args:
        query: features of the query image; may be empty.
        indexes: features of the index images; each may be empty.
        config: the settings.
        verifier: as there.

    Returns:
        What `match_local_features` returns for each.

    Raises:
        InputError: two images' descriptors differ in their depth.
    """
    query = _prepared(query)
    indexes = [_prepared(index) for index in indexes]
    for index in indexes:
        if len(query) and len(index) and query.depth != index.depth:
            raise InputError(
                f"The query's local descriptors have {query.depth} dimensions, "
                f"the index image's {index.depth}. Extract both with one model."
            )
    verifier = make_verifier(config) if verifier is None else verifier
    putatives = [
        putative_matches_of_images(query, index, config) for index in indexes
    ]
    points = [
        (index.locations[putative[:, 1]], query.locations[putative[:, 0]])
        for index, putative in zip(indexes, putatives)
    ]
    return [
        _match(putative, *pair, result, config)
        for putative, pair, result in zip(
            putatives, points, verifier.estimate_all(points), strict=True
        )
    ]


def _prepared(features: Features | PreparedFeatures) -> PreparedFeatures:
    if isinstance(features, PreparedFeatures):
        return features
    return PreparedFeatures.of(features)


def _match(
    putative: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    result: Verification,
    config: MatchingConfig,
) -> Match:
    """Counts inliers as the settings want it."""
    inliers = result.inliers
    if config.unique_inliers and result.model is not None:
        error = transform.residuals(result.model, source, target)
        inliers = _nearest_of_each(putative[:, 1], error, inliers)
    count = int(np.count_nonzero(inliers))
    if count < config.min_inliers:
        result = Verification.none(len(putative))
        inliers, count = result.inliers, 0
    return Match(putative, inliers, result.model, count)


def _nearest_of_each(
    feature: np.ndarray, error: np.ndarray, inliers: np.ndarray
) -> np.ndarray:
    """Keeps, of the inliers with one index feature, that of least error.

    Args:
        feature: [M] int32, index feature of each match.
        error: [M] float64, residual of each match, in pixels.
        inliers: [M] bool.

    Returns:
        [M] bool.
    """
    rows = np.flatnonzero(inliers)
    rows = rows[np.lexsort((error[rows], feature[rows]))]
    _, first = np.unique(feature[rows], return_index=True)
    kept = np.zeros_like(inliers)
    kept[rows[first]] = True
    return kept
