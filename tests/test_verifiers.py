"""Geometric verification against planted motions."""

import concurrent.futures
import dataclasses
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from planted import planted
from skimage.transform import SimilarityTransform

from delg_tf.matching import samples, transform
from delg_tf.matching.affine_batch import AffineBatch, fit, polynomials
from delg_tf.matching.backends import make_verifier
from delg_tf.matching.config import (
    BACKENDS,
    MODELS,
    UNSUPPORTED,
    MatchingConfig,
)

# The reference is slow; this many samples do for these shares.
ITERATIONS = 600
KINDS = [
    (backend, model)
    for backend in BACKENDS
    for model in MODELS
    if (backend, model) not in UNSUPPORTED
]
FREE = MatchingConfig(max_scale_change=None, allow_reflection=True)


def config_of(backend, **options):
    return MatchingConfig(backend=backend, iterations=ITERATIONS, **options)


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


@pytest.mark.parametrize(("backend", "model"), KINDS)
def test_known_similarity(backend, model):
    # Index (y, x) -> query: a quarter turn, twice the size, a shift.
    source = np.random.default_rng(0).uniform(0, 500, (40, 2))
    target = 2 * np.stack([-source[:, 1], source[:, 0]], 1) + [1000, 30]
    result = make_verifier(config_of(backend, model=model)).estimate(
        source, target
    )
    assert result.num_inliers == 40
    expected = [[0, -2, 1000], [2, 0, 30], [0, 0, 1]]
    found = np.vstack([result.model, [0, 0, 1]])[:3]
    np.testing.assert_allclose(found / found[2, 2], expected, atol=1e-3)


def perspective(count, share, noise, seed):
    """Places before and after a strong perspective, and which obey it."""
    rng = np.random.default_rng(seed)
    model = np.array([[0.9, 0.2, 40], [-0.1, 0.8, 90], [3e-4, -2e-4, 1]])
    source = rng.uniform(0, 1000, (count, 2))
    target = rng.uniform(0, 1000, (count, 2))
    true = np.arange(count) < round(share * count)
    moved = np.column_stack([source, np.ones(count)]) @ model.T
    moved = moved[:, :2] / moved[:, 2:] + rng.normal(0, noise, (count, 2))
    target[true] = moved[true]
    return source, target, true, model


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("share", [1.0, 0.4])
def test_planted_homography(backend, share):
    source, target, true, model = perspective(300, share, 1.0, seed=4)
    verifier = make_verifier(config_of(backend, model="homography"))
    result = verifier.estimate(source, target)
    assert result.inliers[true].mean() > 0.98
    assert result.inliers[~true].sum() <= 6
    assert result.model.shape == (3, 3)
    corners = np.array([[0, 0], [0, 1000], [1000, 0], [1000, 1000.0]])
    there = transform.apply(model, corners)
    error = transform.residuals(result.model, corners, there)
    assert error.max() < 5
    # Far from affine: an affine model leaves many out.
    affine = make_verifier(config_of(backend)).estimate(source, target)
    assert affine.num_inliers < 0.8 * true.sum()


def test_a_homography_has_one_side_of_its_horizon():
    model = np.array([[1, 0, 0], [0, 1, 0], [0, -1e-3, 1.0]])
    before = np.array([[0, 0], [100, 300.0], [500, 100]])
    behind = np.array([[0, 1500.0]])
    config = MatchingConfig(model="homography")
    assert transform.is_plausible(model, config, before)
    both = np.concatenate([before, behind])
    assert not transform.is_plausible(model, config, both)
    assert np.isinf(transform.residuals(model, behind, behind)).all()
    np.testing.assert_array_equal(
        transform.oriented(-model, before), transform.oriented(model, before)
    )
    # The size there grows as 1 / depth^2 towards the horizon: too much.
    near = np.array([[0, 950.0]])
    assert not transform.is_plausible(model, config, near)
    mirror = model * [[-1], [1], [1]]
    assert not transform.is_plausible(mirror, config, before)
    # Derivatives by differences.
    step = 1e-4
    for point, linear in zip(before, transform.linear_parts(model, before)):
        around = point + step * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
        up, down, right, left = transform.apply(model, around)
        slow = np.stack([up - down, right - left], axis=1) / (2 * step)
        np.testing.assert_allclose(linear, slow, atol=1e-6)


def test_few_inliers_are_found_by_two_matches():
    """Of 1,000 matches 50 are true: a sample of three is 1 in 8,000."""
    recall = {}
    for backend in ("numpy", "opencv"):
        verifier = make_verifier(MatchingConfig(backend=backend))
        recall[backend] = []
        for seed in range(6):
            source, target, true, _ = planted(
                1000, 0.05, 2.0, seed, ((0.9, 0.15), (-0.1, 1.1))
            )
            inliers = verifier.estimate(source, target).inliers
            recall[backend].append(inliers[true].mean())
    assert np.median(recall["numpy"]) > 0.98
    assert np.mean(recall["numpy"]) > 0.2 + np.mean(recall["opencv"])


def test_batches_of_motions_are_single_ones():
    source, target, _, _ = planted(80, 0.7, 5.0, seed=1)
    batch = AffineBatch(source, target, 20.0)
    population = np.array([80, 4])
    pairs = samples.draw(samples.uniforms(0, 300, 2), population)
    triples = samples.draw(samples.uniforms(0, 300, 3), population)
    for drawn, size in zip(np.moveaxis(triples, 0, 2), population):
        assert (np.diff(np.sort(drawn, axis=1), axis=1) > 0).all()
        times = np.bincount(drawn.ravel(), minlength=size)
        assert len(times) == size and times.min() > 0
    pairs, triples = [row[0] for row in pairs], [row[0] for row in triples]
    points = batch.source, batch.target
    motions = np.concatenate(
        [
            samples.similarities(*points, pairs),
            samples.affinities(*points, triples),
        ],
        axis=1,
    )
    costs, sums = batch.costs_and_sums(polynomials(motions))
    fitted = {kind: fit(sums, kind) for kind in ("affine", "similarity")}
    # Nothing is an inlier.
    far = motions[:, :1] + np.array([[0, 0, 1e3, 0, 0, 1e3]]).T
    highest = batch.costs_and_sums(polynomials(far))[0][0]
    homogeneous = np.column_stack([source, np.ones(80)])
    for row, rows in enumerate([*zip(*pairs), *zip(*triples)]):
        model = batch.in_pixels(motions[:, row])
        error = transform.residuals(model, source, target)
        assert error[list(rows)].max() < 1e-6
        cost = (np.minimum(error, 20) ** 2).sum() / (20.0**2 * 80)
        assert costs[row] / highest == pytest.approx(cost, abs=1e-6)
        some = error < 20
        if row % 10 or some.sum() <= 5:
            continue
        affine = np.linalg.lstsq(homogeneous[some], target[some])[0].T
        similar = SimilarityTransform.from_estimate(source[some], target[some])
        for kind, slow in (("affine", affine), ("similarity", similar.params)):
            found = batch.in_pixels(fitted[kind][:, row])
            np.testing.assert_allclose(found, slow[:2], atol=1e-6)
    # In single precision, of what is left of them.
    linear = motions[[0, 1, 3, 4]].T.reshape(-1, 2, 2)
    kept = np.flatnonzero(transform.are_plausible(linear, MatchingConfig()))
    factors = polynomials(motions[:, kept]).astype(np.float32)
    np.testing.assert_allclose(batch.costs(factors), costs[kept], rtol=1e-4)


@pytest.mark.parametrize("backend", ["numpy", "opencv"])
def test_pairs_do_not_disturb_each_other(backend):
    verifier = make_verifier(MatchingConfig(backend=backend, iterations=300))
    pairs = [
        planted(count, share, 2.0, seed)[:2]
        for seed, (count, share) in enumerate(
            [(900, 0.04), (3, 1), (40, 0.3), (0, 0), (600, 0.0), (700, 0.2)]
        )
    ]
    # Matches on one point have no motion.
    pairs.insert(2, (np.ones((8, 2)), np.ones((8, 2))))
    together = verifier.estimate_all(pairs)
    assert len({result.num_inliers for result in together}) > 3
    for some in (pairs[::-1], pairs[1::2]):
        for pair, result in zip(some, verifier.estimate_all(some)):
            number = next(n for n, p in enumerate(pairs) if p is pair)
            expected = together[number]
            np.testing.assert_array_equal(result.inliers, expected.inliers)
            assert (result.model is None) == (expected.model is None)
            if result.model is not None:
                np.testing.assert_array_equal(result.model, expected.model)


@pytest.mark.parametrize("backend", ["numpy", "opencv", "skimage"])
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


@pytest.mark.parametrize("model", ["affine", "homography"])
@pytest.mark.parametrize("backend", ["numpy", "opencv", "usac"])
def test_result_depends_on_the_seed_alone(backend, model):
    # So few true matches that samples decide what is found.
    source, target, _, _ = planted(600, 0.04, 2.0, seed=11)
    order = np.random.default_rng(0).permutation(600)
    found = set()
    for seed in range(4):
        config = MatchingConfig(
            backend=backend, model=model, seed=seed, iterations=200
        )
        verifier = make_verifier(config)
        first = verifier.estimate(source, target)
        shuffled = make_verifier(config).estimate(source[order], target[order])
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
    # Without the check a collapse has the most inliers of all; with it some
    # agree by chance, as the points lie close together.
    assert (
        (collapsed.num_inliers <= 8) if strict else (collapsed.num_inliers > 40)
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_true_motion_behind_a_larger_collapse(backend):
    source, target, _, model = planted(90, 1.0, 1.0, seed=2)
    collapse = np.arange(90) < 50
    target[collapse] = np.random.default_rng(0).normal(500, 4, (50, 2))
    result = make_verifier(config_of(backend)).estimate(source, target)
    assert result.inliers[~collapse].all()
    np.testing.assert_allclose(result.model[:, :2], model[:, :2], atol=0.02)
    free = dataclasses.replace(FREE, backend=backend, iterations=ITERATIONS)
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
    assert strict.estimate(source, target).num_inliers <= 12
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
