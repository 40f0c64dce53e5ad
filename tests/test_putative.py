"""Putative matches against slow searches."""

import numpy as np
import pytest
from planted import features, unit
from scipy.spatial import cKDTree

from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.local_features import LocalFeatures
from delg_tf.matching import nearest as neighbours
from delg_tf.matching import putative
from delg_tf.matching.config import MatchingConfig
from delg_tf.matching.match import match_local_features


def test_official_golden():
    query = np.array([[1, 0, 0], [0, 0.6, 0.8], [-1, 0, 0]])
    matches = putative.putative_matches(query, np.eye(3), MatchingConfig())
    assert matches.tolist() == [[0, 0], [1, 2]]
    assert matches.dtype == np.int32


def test_distance_is_a_strict_limit():
    # A 3-4-5 triangle: the distance is 5 exactly.
    query, index = [[3.0, 4.0]], [[0.0, 0.0]]
    for limit, expected in ((5.0, 0), (np.nextafter(5.0, 6.0), 1), (None, 1)):
        config = MatchingConfig(descriptor_distance=limit)
        matches = putative.putative_matches(query, index, config)
        assert len(matches) == expected


def test_binary_descriptors_have_a_limit_of_their_own():
    """Of 8 signs 2 differ: distance 1; 3: 1.22. The limit is 1.15."""
    signs = np.ones((3, 8))
    signs[1, :2] = signs[2, :3] = -1

    def features(descriptors):
        count = len(descriptors)
        zeros = np.zeros(count)
        return LocalFeatures(
            np.zeros((count, 2)), descriptors, zeros + 1, zeros, zeros
        )

    index = features(signs[:1] / 8**0.5)
    assert index.is_binary
    found = match_local_features(
        features(signs / 8**0.5), index, MatchingConfig()
    )
    assert found.putative[:, 0].tolist() == [0, 1]
    # An angle of 67 degrees: a distance of 1.1, too much among floats.
    angle = 2 * np.arcsin(1.1 / 2)
    query = features([[np.cos(angle), np.sin(angle)]])
    assert not query.is_binary
    for other, expected in (([[1, 0]], 0), ([[0.5**0.5, 0.5**0.5]], 1)):
        found = match_local_features(query, features(other), MatchingConfig())
        assert len(found.putative) == expected


def codes_with_ties(rng, count, depth):
    """Binary features of which many are at equal distances from others."""
    signs = np.where(rng.uniform(size=(count, depth)) < 0.85, 1, -1)
    rows = signs[rng.integers(0, count, count)] / depth**0.5
    return EncodedFeatures.encode(
        features(rng.uniform(0, 100, (count, 2)), rows), "binary"
    )


@pytest.mark.parametrize("depth", [8, 20, 64, 128])
def test_codes_match_as_their_descriptors(depth):
    rng = np.random.default_rng(depth)
    query = codes_with_ties(rng, 150, depth)
    index = codes_with_ties(rng, 120, depth)
    first, second_image = query.decode(), index.decode()
    # [150, 120], one sign at a time.
    slow = sum(
        (first.descriptors[:, None, i] != second_image.descriptors[None, :, i])
        .astype(int)
        for i in range(depth)
    )  # fmt: skip
    ties = (slow == slow.min(axis=1, keepdims=True)).sum(axis=1)
    assert np.median(ties) > 1, "ties are what this is about"
    nearest = slow.argmin(axis=1)
    rows = np.arange(150)
    least, second = np.sort(slow, axis=1)[:, :2].T
    middle = max(int(np.median(least)), 1)
    # Of 64 signs a distance of 1 is exact, and 16 differ: not below it.
    for most in {middle, 16} if depth == 64 else {middle, middle + 1}:
        limit = 2 * ((most - (depth != 64) / 2) / depth) ** 0.5
        config = MatchingConfig(binary_distance=limit)
        for options, accepted in (
            ({}, least < most),
            ({"mutual": True}, slow.argmin(axis=0)[nearest] == rows),
            ({"ratio_test": 0.9}, least < 0.81 * second),
        ):
            config = MatchingConfig(binary_distance=limit, **options)
            expected = (least < most) & accepted
            expected = np.stack([rows, nearest], axis=1)[expected]
            for pair in ((query, index), (first, second_image)):
                found = match_local_features(*pair, config).putative
                np.testing.assert_array_equal(found, expected)
    free = MatchingConfig(binary_distance=None)
    # One image as numbers: the binary limit, by decoded descriptors.
    mixed = features(first.locations, unit(rng, 150, depth))
    for config in (free, MatchingConfig(binary_distance=1.25)):
        np.testing.assert_array_equal(
            match_local_features(mixed, index, config).putative,
            match_local_features(mixed, second_image, config).putative,
        )


@pytest.mark.parametrize("at_a_time", [1 << 24, 500])
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_neighbours_are_those_of_a_tree(monkeypatch, at_a_time, scale):
    monkeypatch.setattr(neighbours, "_PAIRS_AT_A_TIME", at_a_time)
    rng = np.random.default_rng(1)
    index = scale * unit(rng, 150, 16) * rng.uniform(0.5, 2, (150, 1))
    query = index[rng.integers(0, 150, 200)]
    query = query + scale * rng.normal(0, 0.2, query.shape)
    distance, nearest = cKDTree(index).query(query, k=2)
    back = cKDTree(query).query(index)[1]
    close = distance[:, 0] < 0.8 * scale
    ratio = distance[:, 0] < 0.7 * distance[:, 1]
    mutual = back[nearest[:, 0]] == np.arange(200)
    for config, accepted in (
        (MatchingConfig(0.8 * scale), close),
        (MatchingConfig(0.8 * scale, ratio_test=0.7), close & ratio),
        (MatchingConfig(None, ratio_test=0.7), ratio),
        (MatchingConfig(0.8 * scale, mutual=True), close & mutual),
        (MatchingConfig(None, 0.7, mutual=True), ratio & mutual),
    ):
        assert 10 < accepted.sum() < 190
        expected = np.stack([np.arange(200), nearest[:, 0]], 1)[accepted]
        actual = putative.putative_matches(query, index, config)
        np.testing.assert_array_equal(actual, expected)


def test_putatives_at_the_edges():
    config = MatchingConfig(ratio_test=0.5)
    one = np.ones((1, 4))
    none = np.zeros((0, 4))
    assert putative.putative_matches(none, one, config).shape == (0, 2)
    assert putative.putative_matches(one, none, config).shape == (0, 2)
    # One index feature has no rival.
    assert len(putative.putative_matches(one, one, config)) == 1
    # Two equal ones are ambiguous, whatever the ratio.
    two = np.ones((2, 4))
    strict = MatchingConfig(ratio_test=1.0)
    assert len(putative.putative_matches(one, two, strict)) == 0
    with pytest.raises(ValueError, match="depth"):
        putative.putative_matches(one, np.ones((1, 5)), config)
    with pytest.raises(ValueError, match="matrices"):
        putative.putative_matches(one[0], one, config)
