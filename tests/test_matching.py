"""Matching against slow searches and planted motions."""

import concurrent.futures
import dataclasses
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import cKDTree

from delg_tf.common.errors import InputError
from delg_tf.features.local_features import LocalFeatures
from delg_tf.matching import drawing, putative, transform
from delg_tf.matching.backends import make_verifier
from delg_tf.matching.config import BACKENDS, MODELS, MatchingConfig
from delg_tf.matching.match import match_local_features

FREE = MatchingConfig(max_scale_change=None, allow_reflection=True)


def features(locations, descriptors):
    count = len(locations)
    return LocalFeatures(
        locations, descriptors, np.ones(count), np.ones(count), np.zeros(count)
    )


def unit(rng, count, depth):
    rows = rng.normal(size=(count, depth))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# Putative matches.


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


@pytest.mark.parametrize("at_a_time", [1 << 24, 500])
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_neighbours_are_those_of_a_tree(monkeypatch, at_a_time, scale):
    monkeypatch.setattr(putative, "_PAIRS_AT_A_TIME", at_a_time)
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


# Geometric verification.


def planted(count, share, noise, seed, linear=((0.9, 0.4), (-0.3, 1.1))):
    """Index locations, query locations, which ones move as one, the model."""
    rng = np.random.default_rng(seed)
    model = np.column_stack([linear, rng.uniform(-100, 100, 2)])
    source = rng.uniform(0, 1000, (count, 2))
    target = rng.uniform(0, 1000, (count, 2))
    true = rng.permutation(count) < round(count * share)
    moved = source @ model[:, :2].T + model[:, 2]
    target[true] = (moved + rng.normal(0, noise, moved.shape))[true]
    return source, target, true, model


def config_of(backend, **options):
    # The reference is slow; this many samples do for these shares.
    return MatchingConfig(backend=backend, iterations=600, **options)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("share", "noise"), [(1.0, 0.0), (0.8, 4.0), (0.5, 2.0), (0.25, 2.0)]
)
def test_planted_affine_motion(backend, share, noise):
    source, target, true, model = planted(300, share, noise, seed=3)
    result = make_verifier(config_of(backend)).estimate(source, target)
    assert result.inliers[true].mean() > 0.98
    # Outliers within 20 px of their place by chance: some in a thousand.
    assert result.inliers[~true].sum() <= 3
    assert result.num_inliers == result.inliers.sum()
    corners = np.array([[0, 0], [0, 1000], [1000, 0], [1000, 1000.0]])
    there = corners @ model[:, :2].T + model[:, 2]
    error = transform.residuals(result.model, corners, there)
    assert error.max() < (1e-3 if noise == 0 else 4.0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("model", MODELS)
def test_known_similarity(backend, model):
    # Index (y, x) -> query: a quarter turn, twice the size, a shift.
    source = np.random.default_rng(0).uniform(0, 500, (40, 2))
    target = 2 * np.stack([-source[:, 1], source[:, 0]], 1) + [1000, 30]
    result = make_verifier(config_of(backend, model=model)).estimate(
        source, target
    )
    assert result.num_inliers == 40
    expected = [[0, -2, 1000], [2, 0, 30]]
    np.testing.assert_allclose(result.model, expected, atol=1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_similarity_has_one_scale(backend):
    source, target, _, _ = planted(100, 1.0, 0.0, 0, ((2, 0), (0, 0.7)))
    config = config_of(backend, model="similarity")
    result = make_verifier(config).estimate(source, target)
    largest, smallest = np.linalg.svd(result.model[:, :2])[1]
    assert largest == pytest.approx(smallest, rel=1e-4)
    assert 4 < result.num_inliers < 60


def test_backends_agree_at_official_settings():
    source, target, _, _ = planted(400, 0.3, 2.0, seed=8)
    official = make_verifier(MatchingConfig.official())
    expected = official.estimate(source, target)
    actual = make_verifier(MatchingConfig()).estimate(source, target)
    assert abs(actual.num_inliers - expected.num_inliers) <= 2
    assert (actual.inliers != expected.inliers).sum() <= 4


def test_inliers_are_those_of_the_model():
    source, target, _, _ = planted(500, 0.3, 9.0, seed=5)
    for threshold in (5.0, 20.0):
        config = MatchingConfig(residual_threshold=threshold)
        result = make_verifier(config).estimate(source, target)
        homogeneous = np.column_stack([source, np.ones(500)])
        offset = homogeneous @ result.model.T - target
        expected = (offset**2).sum(1) < threshold**2
        np.testing.assert_array_equal(result.inliers, expected)


def test_result_depends_on_the_seed_alone():
    # So few true matches that samples decide what is found.
    source, target, _, _ = planted(600, 0.06, 2.0, seed=11)
    order = np.random.default_rng(0).permutation(600)
    found = set()
    for seed in range(6):
        verifier = make_verifier(MatchingConfig(seed=seed))
        first = verifier.estimate(source, target)
        shuffled = make_verifier(MatchingConfig(seed=seed)).estimate(
            source[order], target[order]
        )
        np.testing.assert_array_equal(first.inliers[order], shuffled.inliers)
        np.testing.assert_array_equal(first.model, shuffled.model)
        again = verifier.estimate(source, target)
        np.testing.assert_array_equal(first.inliers, again.inliers)
        found.add(first.inliers.tobytes())
    assert len(found) > 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_do_not_disturb_each_other(backend):
    verifier = make_verifier(MatchingConfig(backend=backend, iterations=100))
    pairs = [planted(200, 0.06, 2.0, seed)[:2] for seed in range(6)] * 3
    alone = [verifier.estimate(*pair) for pair in pairs]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        beside = list(pool.map(lambda pair: verifier.estimate(*pair), pairs))
    assert any(result.num_inliers for result in alone)
    for first, second in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(first.inliers, second.inliers)


def test_no_model_is_no_warning():
    # In a process of its own, as pytest sets the filters of warnings anew.
    code = (
        "import numpy as np\n"
        "from delg_tf.matching.backends import make_verifier\n"
        "from delg_tf.matching.config import MatchingConfig\n"
        "verifier = make_verifier(MatchingConfig(backend='skimage'))\n"
        "print(verifier.estimate(np.ones((6, 2)), np.ones((6, 2))).model)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=pathlib.Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("None\n", "")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("strict", [True, False])
def test_degenerate_points(backend, strict):
    options = {} if strict else dataclasses.asdict(FREE)
    options.update(backend=backend, iterations=200)
    verifier = make_verifier(MatchingConfig(**options))
    rng = np.random.default_rng(0)
    free = rng.uniform(0, 1000, (50, 2))
    same = np.full((50, 2), 7.0)
    line = np.outer(np.arange(50.0), [3, 5])
    for source, target in (
        (same, same),
        (same, free),
        (line, line),
        (line, same),
        (free, same),
    ):
        result = verifier.estimate(source, target)
        assert result.num_inliers == result.inliers.sum()
        assert result.inliers.shape == (50,)
        if result.model is None:
            assert result.num_inliers == 0
        else:
            assert np.isfinite(result.model).all()
        if strict:
            assert result.model is None, "a collapse is no motion"
    collapsed = verifier.estimate(free, same + rng.normal(0, 3, (50, 2)))
    # Without the check a collapse has the most inliers of all.
    assert (
        (collapsed.num_inliers == 0) if strict else (collapsed.num_inliers > 40)
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_true_motion_behind_a_larger_collapse(backend):
    source, target, _, model = planted(90, 1.0, 1.0, seed=2)
    collapse = np.arange(90) < 50
    target[collapse] = np.random.default_rng(0).normal(500, 4, (50, 2))
    result = make_verifier(config_of(backend)).estimate(source, target)
    assert result.inliers[~collapse].all()
    np.testing.assert_allclose(result.model[:, :2], model[:, :2], atol=0.02)
    free = dataclasses.replace(FREE, backend=backend, iterations=600)
    misled = make_verifier(free).estimate(source, target)
    assert misled.inliers[collapse].all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("linear", "option"),
    [
        (((-1, 0), (0, 1)), {"allow_reflection": True}),
        (((9, 0), (0, 9)), {"max_scale_change": 10.0}),
        (((0.05, 0), (0, 1)), {"max_scale_change": None}),
    ],
)
def test_implausible_motions_need_an_option(backend, linear, option):
    source, target, _, _ = planted(60, 1.0, 0.0, 0, linear)
    # All points agree, so nothing is left to fall back on.
    strict = make_verifier(config_of(backend))
    assert strict.estimate(source, target).num_inliers <= 8
    loose = make_verifier(config_of(backend, **option))
    assert loose.estimate(source, target).num_inliers == 60


@pytest.mark.parametrize("backend", BACKENDS)
def test_few_putatives(backend):
    source, target, _, _ = planted(4, 1.0, 0.0, seed=0)
    verifier = make_verifier(config_of(backend))
    for count, expected in ((0, 0), (1, 0), (3, 0), (4, 4)):
        result = verifier.estimate(source[:count], target[:count])
        assert result.num_inliers == expected
        assert result.inliers.shape == (count,)
        assert (result.model is None) == (expected == 0)


def test_wrong_points():
    verifier = make_verifier(MatchingConfig())
    points = np.zeros((5, 2))
    for wrong in (np.zeros((5, 3)), np.zeros(5), np.full((5, 2), np.nan)):
        with pytest.raises(ValueError, match="source"):
            verifier.estimate(wrong, points)
    with pytest.raises(ValueError, match="as many"):
        verifier.estimate(points, points[:4])


# Whole images.


def two_images(count=60, seed=0):
    """Query and index features: query n is index feature n, moved."""
    rng = np.random.default_rng(seed)
    descriptors = unit(rng, count, 32)
    locations = rng.uniform(0, 400, (count, 2))
    index = features(locations, descriptors)
    query = features(locations * [0.5, 0.8] + [20, -10], descriptors)
    return query, index


@pytest.mark.parametrize("backend", BACKENDS)
def test_match_recovers_the_motion(backend):
    query, index = two_images()
    match = match_local_features(query, index, config_of(backend))
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
        ("model", "homography"),
        ("backend", "OpenCV"),
    ],
)
def test_wrong_settings(name, value):
    with pytest.raises(InputError, match=f"^{name} must be"):
        MatchingConfig(**{name: value})


# Pictures.


def test_picture_of_matches(tmp_path):
    rng = np.random.default_rng(0)
    gray = np.full((100, 80, 3), 128, np.uint8)
    query = features([[20, 30], [70, 30]], unit(rng, 2, 4))
    index = features([[50, 40], [10, 70]], unit(rng, 2, 4))
    plain = match_local_features(query, LocalFeatures.empty(), FREE)
    match = dataclasses.replace(
        plain,
        putative=np.array([[0, 0], [1, 1]], np.int32),
        inliers=np.array([True, False]),
        num_inliers=1,
    )
    path = tmp_path / "new" / "match.png"
    options = {"height": 200, "show_outliers": False}
    picture = drawing.draw_matches(
        gray, gray, query, index, match, path, **options
    )
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (160 + 160 + 8, 3)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)
    body = picture[-200:]
    background = np.full_like(body, 128)
    background[:, 160:168] = 255
    changed = (body != background).any(axis=2)
    rows, columns = np.nonzero(changed)
    # The line goes from (40, 60) to (100, 168 + 80), with round ends.
    assert abs(columns.min() - 60) < 6 and abs(columns.max() - 248) < 6
    line = 40 + (columns - 60) * 60 / 188
    assert np.abs(rows - line).max() < 6 and len(rows) > 188
    # Faint lines only where they are asked for.
    faint = drawing.draw_matches(gray, gray, query, index, match, height=200)
    assert (faint != picture).any()


def test_picture_of_attention(tmp_path):
    gray = np.full((50, 80, 3), 128, np.uint8)
    points = LocalFeatures(
        [[10, 20], [40, 60]], np.ones((2, 1)), [1, 1], [5, 9], [0, 0]
    )
    picture = drawing.draw_attention(gray, points, height=100)[-100:, :160]
    rows, columns = np.nonzero((picture != 128).any(axis=2))
    left = columns < 80
    for half, centre in ((left, (20, 40)), (~left, (80, 120))):
        assert abs(rows[half].mean() - centre[0] - 0.5) < 0.3
        assert abs(columns[half].mean() - centre[1] - 0.5) < 0.3
    # A high score is bright, a low one dark.
    assert picture[80, 120].sum() > picture[20, 40].sum() + 200
    empty = drawing.draw_attention(gray, LocalFeatures.empty(), height=100)
    assert (empty[-100:, :160] == 128).all()


@pytest.mark.parametrize("size", [(1, 1), (20, 20000), (20000, 20)])
def test_pictures_of_extreme_images(size):
    image = np.full((*size, 3), 128, np.uint8)
    query, index = two_images()
    match = match_local_features(query, index, MatchingConfig())
    picture = drawing.draw_matches(image, image, query, index, match, height=96)
    # At most eight times as wide as high, at least an eighth.
    width = 96 * np.clip(size[1] / size[0], 1 / 8, 8)
    assert picture.shape == (96 + 36, 2 * width + 8, 3)
    picture = drawing.draw_attention(image, LocalFeatures.empty())
    assert picture.shape[0] == 480 + 36


def test_wrong_pictures(tmp_path):
    query, index = two_images()
    match = match_local_features(query, index, MatchingConfig())
    good = np.zeros((20, 20, 3), np.uint8)
    path = tmp_path / "a.txt"
    with pytest.raises(InputError, match=r"a\.txt must end"):
        drawing.draw_matches(good, good, query, index, match, path)
    with pytest.raises(ValueError, match="query_image"):
        drawing.draw_matches(good[..., 0], good, query, index, match)
    with pytest.raises(ValueError, match="`image`"):
        drawing.draw_attention(good / 255, query, path.with_suffix(".png"))
    assert not list(tmp_path.iterdir())
