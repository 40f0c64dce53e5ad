"""Intervals and p-values against all resamples, SciPy and their promises."""

import itertools

import numpy as np
import pytest
import scipy.stats

from delg_tf.evaluation.metrics.significance import (
    MAX_EXACT,
    paired_difference,
)
from delg_tf.evaluation.metrics.uncertainty import (
    bootstrap_interval,
    bootstrap_statistic,
)


def test_interval_equals_that_of_all_resamples():
    values = np.array([0.05, 0.3, 0.31, 0.7, 0.95, 1.0])
    means = np.mean(list(itertools.product(values, repeat=6)), axis=1)
    for level in (0.5, 0.9, 0.95):
        actual = bootstrap_interval(values, level, num_samples=50000)
        expected = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
        np.testing.assert_allclose(
            [actual.low, actual.high], expected, atol=0.01
        )
        assert actual.level == level


def test_interval_equals_that_of_scipy():
    values = np.random.default_rng(0).beta(0.5, 1, 70)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", rng=1
    ).confidence_interval
    actual = bootstrap_interval(values)
    np.testing.assert_allclose(
        [actual.low, actual.high], [theirs.low, theirs.high], atol=0.005
    )


def test_interval_keeps_its_promises():
    rng = np.random.default_rng(1)
    values = rng.random(30)
    actual = bootstrap_interval(values, num_samples=500, seed=3)
    # Of the seed alone; queries without a value are not there.
    with_nan = np.insert(values, [0, 7, 30], np.nan)
    assert bootstrap_interval(with_nan, num_samples=500, seed=3) == actual
    assert bootstrap_interval(values, num_samples=500, seed=4) != actual
    percent = bootstrap_interval(100 * values, num_samples=500, seed=3)
    assert percent.low == pytest.approx(100 * actual.low)
    one = bootstrap_interval(np.full(9, 0.25), num_samples=10)
    assert (one.low, one.high) == (0.25, 0.25)
    assert np.isnan(bootstrap_interval(np.array([np.nan])).low)
    # 95% of intervals of 70 queries hold the truth, or a little less.
    hits = 0
    for seed in range(300):
        sample = bootstrap_interval(rng.beta(0.5, 0.5, 70), 0.95, 300, seed)
        hits += sample.low <= 0.5 <= sample.high
    assert 0.89 <= hits / 300 <= 0.99


def test_interval_of_another_statistic():
    values = np.random.default_rng(2).normal(size=51)
    actual = bootstrap_statistic(
        lambda drawn: np.median(values[drawn], axis=1), 51, num_samples=5000
    )
    theirs = scipy.stats.bootstrap(
        (values,), np.median, method="percentile", rng=1
    ).confidence_interval
    np.testing.assert_allclose(
        [actual.low, actual.high], [theirs.low, theirs.high], atol=0.05
    )
    # Draws without a value are left out.
    values[:25] = np.nan
    assert np.isfinite(
        bootstrap_statistic(
            lambda drawn: values[drawn[:, 0]], 51, num_samples=100
        ).low
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0.5]],), "shape"),
        (([0.5, np.inf],), "1 infinite"),
        (([0.5], 1.0), "1.0 and 10000"),
        (([0.5], 0.9, 0), "0.9 and 0"),
    ],
)
def test_interval_wrong_arguments(arguments, message):
    values, *others = arguments
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(np.array(values), *others)


def _share_as_far(differences):
    """p of whole numbers: how often each sum comes, by convolution."""
    size = int(np.abs(differences).sum())
    counts = {0: 1}
    for value in differences.tolist():
        grown = {}
        for total, times in counts.items():
            for sign in (-1, 1):
                key = total + sign * value
                grown[key] = grown.get(key, 0) + times
        counts = grown
    assert sum(counts.values()) == 2 ** len(differences)
    assert max(counts) == size
    far = abs(int(differences.sum()))
    return sum(t for s, t in counts.items() if abs(s) >= far) / 2 ** len(
        differences
    )


def test_exact_p_value():
    rng = np.random.default_rng(4)
    for size in (1, 2, 5, 9, 12):
        # Many ties and zeros; tenths, so that sums are rounded.
        whole = rng.integers(-3, 5, size)
        first = rng.random(size).round(1)
        actual = paired_difference(first, first + whole / 10, num_samples=10)
        assert actual.p_value == pytest.approx(_share_as_far(whole), abs=1e-12)
        assert actual.mean == pytest.approx(whole.mean() / 10)
        assert actual.num_queries == size
    differences = rng.normal(0.3, 1, 10)
    theirs = scipy.stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    actual = paired_difference(np.zeros(10), differences, num_samples=10)
    assert actual.p_value == pytest.approx(theirs.pvalue, abs=1e-12)
    # Turned round it is the same, with the other sign.
    turned = paired_difference(differences, np.zeros(10), num_samples=10)
    assert turned.p_value == actual.p_value
    assert turned.mean == -actual.mean


def test_drawn_p_value():
    rng = np.random.default_rng(5)
    for shift in (0, 1, 2):
        whole = rng.integers(-4, 5, 60) + shift * rng.integers(0, 2, 60)
        assert np.count_nonzero(whole) > MAX_EXACT
        expected = _share_as_far(whole)
        zeros = np.zeros(60)
        actual = paired_difference(zeros, whole, num_samples=20000, seed=1)
        spread = np.sqrt(expected * (1 - expected) / 20000)
        assert abs(actual.p_value - expected) < 4 * spread + 1e-4
    # No p is 0, however far apart runs are; the seed alone decides.
    apart = paired_difference(zeros, zeros + 1, num_samples=999)
    assert apart.p_value == 1 / 1000
    assert paired_difference(zeros, zeros + 1, num_samples=999) == apart


def test_paired_interval_is_that_of_the_differences():
    rng = np.random.default_rng(6)
    first = rng.random(80)
    second = first + rng.normal(0.02, 0.02, 80)
    first[[3, 9]] = second[[3, 9]] = np.nan
    actual = paired_difference(first, second, 0.9, 2000, seed=2)
    assert actual.interval == bootstrap_interval(
        second - first, 0.9, 2000, seed=2
    )
    assert actual.num_queries == 78
    # Paired, a gain shows that single intervals hide.
    assert actual.interval.low > 0 and actual.p_value < 0.001
    assert bootstrap_interval(first).high > bootstrap_interval(second).low


def test_equal_runs_are_seldom_told_apart():
    rng = np.random.default_rng(7)
    small = 0
    for seed in range(300):
        first, second = rng.beta(0.5, 0.5, (2, 12))
        p_value = paired_difference(first, second, 0.9, 10, seed).p_value
        small += p_value <= 0.1
    # 10% of exact tests; five standard errors.
    assert 0.1 * 300 - 26 < small < 0.1 * 300 + 26


def test_nothing_to_compare():
    same = paired_difference(np.array([0.1, 0.2]), np.array([0.1, 0.2]))
    assert (same.mean, same.p_value) == (0, 1)
    assert (same.interval.low, same.interval.high) == (0, 0)
    none = paired_difference(np.full(2, np.nan), np.full(2, np.nan))
    assert none.num_queries == 0
    assert np.isnan([none.mean, none.p_value, none.interval.low]).all()
    with pytest.raises(ValueError, match="1 that differ, the first is 1"):
        paired_difference(np.array([1.0, np.nan]), np.array([1.0, 1.0]))
    with pytest.raises(ValueError, match="shapes"):
        paired_difference(np.zeros(2), np.zeros(3))
