"""Matching of whole images, and its settings."""

import numpy as np
import pytest
from planted import features, two_images

from delg_tf.common.errors import InputError
from delg_tf.features.local_features import LocalFeatures
from delg_tf.matching import transform
from delg_tf.matching.config import BACKENDS, MatchingConfig
from delg_tf.matching.match import match_local_features


@pytest.mark.parametrize("backend", BACKENDS)
def test_match_recovers_the_motion(backend):
    query, index = two_images()
    match = match_local_features(
        query, index, MatchingConfig(backend=backend, iterations=100)
    )
    expected = np.stack([np.arange(60)] * 2, 1)
    np.testing.assert_array_equal(match.putative, expected)
    assert match.num_inliers == 60 and match.inliers.all()
    # From index to query, (y, x).
    np.testing.assert_allclose(
        match.model, [[0.5, 0, 20], [0, 0.8, -10]], atol=1e-3
    )


def test_match_without_features_or_enough_inliers():
    query, index = two_images()
    empty = LocalFeatures.empty()
    for pair in ((query, empty), (empty, index), (empty, empty)):
        match = match_local_features(*pair, MatchingConfig())
        assert (match.num_inliers, match.model) == (0, None)
        assert match.putative.shape == (0, 2) and match.inliers.shape == (0,)
    for least, expected in ((60, 60), (61, 0)):
        config = MatchingConfig(min_inliers=least)
        match = match_local_features(query, index, config)
        assert match.num_inliers == match.inliers.sum() == expected
        assert (match.model is None) == (expected == 0)
    with pytest.raises(InputError, match=r"32 dimensions.*16"):
        match_local_features(
            query,
            features(index.locations, index.descriptors[:, :16]),
            MatchingConfig(),
        )


def test_an_index_feature_may_count_once():
    query, index = two_images()
    # Five more query features beside the first, further from its place.
    beside = query.locations[0] + 3 + np.arange(5)[:, None]
    query = features(
        np.concatenate([beside, query.locations]),
        np.concatenate([query.descriptors[[0] * 5], query.descriptors]),
    )
    each = match_local_features(query, index, MatchingConfig())
    assert each.num_inliers == each.inliers.sum() == 65
    once = match_local_features(
        query, index, MatchingConfig(unique_inliers=True)
    )
    assert once.num_inliers == once.inliers.sum() == 60
    assert len(set(once.putative[once.inliers, 1])) == 60
    error = transform.residuals(
        once.model,
        index.locations[once.putative[:, 1]],
        query.locations[once.putative[:, 0]],
    )
    rivals = np.flatnonzero(once.putative[:, 1] == 0)
    assert once.inliers[rivals[error[rivals].argmin()]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("descriptor_distance", 0.0),
        ("descriptor_distance", float("nan")),
        ("ratio_test", 1.1),
        ("binary_distance", 0.0),
        ("ratio_test", 0.0),
        ("residual_threshold", -1),
        ("residual_threshold", None),
        ("iterations", 0),
        ("iterations", 1.5),
        ("seed", -1),
        ("min_putatives", 2),
        ("min_inliers", -1),
        ("max_scale_change", 1.0),
        ("model", "projective"),
        ("backend", "OpenCV"),
    ],
)
def test_wrong_settings(name, value):
    with pytest.raises(InputError, match=f"^{name} must be"):
        MatchingConfig(**{name: value})
