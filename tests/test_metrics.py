"""The metrics against slow derivations, literals and what others compute."""

import subprocess
import sys

import numpy as np
import pytest
import slow_metrics
from sklearn.metrics import average_precision_score

from delg_tf.evaluation.metrics import (
    landmark_recognition,
    landmark_retrieval,
    oxford,
    revisited,
    truncated,
)
from delg_tf.evaluation.metrics.landmark_recognition import (
    evaluate_landmark_recognition,
)
from delg_tf.evaluation.metrics.landmark_retrieval import (
    evaluate_landmark_retrieval,
)

_IMPORTS = """
import importlib, pathlib, sys
import numpy
before = set(sys.modules)
import delg_tf.evaluation.metrics as package
for path in pathlib.Path(package.__path__[0]).glob("*.py"):
    importlib.import_module(f"{package.__name__}.{path.stem}")
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
ours = {name for name in sys.modules if name.startswith("delg_tf.")}
print(sorted(loaded - sys.stdlib_module_names - {"delg_tf", "numpy"}))
print(all("delg_tf.evaluation.metrics".startswith(name) or
          name.startswith("delg_tf.evaluation.metrics.") for name in ours))
print(len(ours))
"""


def test_needs_numpy_only():
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTS],
        capture_output=True,
        text=True,
        check=False,
    )
    others, only_metrics, count = done.stdout.split("\n")[:3]
    assert (others, only_metrics) == ("[]", "True"), done.stderr
    assert int(count) >= 9


def _case(rng):
    """A list, positives and junk: ids from a small pool, so that all occurs.

    Short and empty lists, lists that lack positives or hold junk only, no
    positives, more places asked for than the list has.
    """
    pool = rng.permutation(int(rng.integers(2, 25))).tolist()
    first, second = np.sort(rng.integers(0, len(pool) + 1, 2))
    positives, junk = pool[:first], pool[first:second]
    if rng.random() < 0.1:
        positives, junk = [], pool
    ranking = rng.permutation(pool)[: rng.integers(0, len(pool) + 1)].tolist()
    return ranking, positives, junk


def test_oxford_equals_walking_down_the_list():
    rng = np.random.default_rng(2)
    cases = [_case(rng) for _ in range(400)]
    actual = oxford.evaluate_oxford(*zip(*cases))
    expected = [
        slow_metrics.trapezoid_ap(*case) if case[1] else np.nan
        for case in cases
    ]
    np.testing.assert_allclose(
        actual.average_precision, expected, rtol=0, atol=1e-12
    )
    assert np.isnan(expected).sum() > 20  # The pool has such cases.
    assert actual.mean_average_precision == pytest.approx(np.nanmean(expected))
    for (ranking, positives, _), found, count in zip(
        cases, actual.num_found, actual.num_positives
    ):
        assert found == len(set(ranking) & set(positives))
        assert count == len(positives)
    # Names do as well as numbers, in arrays and lists.
    for (ranking, positives, junk), value in zip(cases[:50], expected):
        names = [[f"i{i}" for i in ids] for ids in (ranking, positives, junk)]
        by_name = oxford.list_average_precision(np.array(names[0]), *names[1:])
        assert by_name == pytest.approx(value, abs=1e-12, nan_ok=True)


def test_whole_lists_have_the_average_precision_of_easy():
    rng = np.random.default_rng(3)
    for _ in range(100):
        _, positives, junk = _case(rng)
        others = [100, 101, 102]
        ranking = rng.permutation(positives + junk + others)
        ranks = revisited.positive_ranks(
            ranking, np.array(positives), np.array(junk)
        )
        assert revisited.average_precision(ranks) == pytest.approx(
            oxford.list_average_precision(ranking, positives, junk),
            abs=1e-12,
            nan_ok=True,
        )


def test_precision_of_revisited_ends_at_the_last_positive():
    rng = np.random.default_rng(5)
    for _ in range(100):
        _, positives, junk = _case(rng)
        ranking = rng.permutation([*positives, *junk, 100, 101]).tolist()
        ranks = revisited.positive_ranks(
            np.array(ranking), np.array(positives), np.array(junk)
        )
        cutoffs = (1, 3, 10, 50)
        actual = revisited.precision_and_recall_at(ranks, cutoffs)
        if not positives:
            assert np.isnan(actual).all()
            continue
        cleaned = [image for image in ranking if image not in junk]
        while cleaned[-1] not in positives:
            cleaned.pop()
        for k, precision, recall in zip(cutoffs, *actual):
            right = [image in positives for image in cleaned[:k]]
            assert precision == pytest.approx(np.mean(right))
            assert recall == pytest.approx(sum(right) / len(positives))


def test_oxford_by_hand():
    # Without junk j and k: - a - - b; c is not found. A third each of the
    # trapezoids (0 + 1/2) / 2 and (1/4 + 2/5) / 2 and of nothing.
    value = oxford.list_average_precision("jxakyzb", "abc", "jk")
    assert value == pytest.approx((0.25 + 0.325) / 3, abs=1e-15)
    assert f"{value:.6f}" == "0.191667"
    # scikit-learn is not told of c.
    theirs = average_precision_score([0, 1, 0, 0, 1], -np.arange(5))
    assert theirs == pytest.approx((1 / 2 + 2 / 5) / 2)
    nothing = oxford.evaluate_oxford([], [], [])
    assert np.isnan(nothing.mean_average_precision)
    assert oxford.list_average_precision("j", "a", "j") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["aba"], ["a"], ["c"]), "1 repeated of 3"),
        ((["ab"], ["a"], ["a"]), r"both: \['a'\]"),
        ((["ab"], ["a"], []), "1 and 0 for 1"),
    ],
)
def test_oxford_wrong_arguments(arguments, message):
    rows = [[list(ids) for ids in part] for part in arguments]
    with pytest.raises(ValueError, match=message):
        oxford.evaluate_oxford(*rows)


def _with_repeats(rng, ranking):
    """The list with some of its images again, further down or anywhere."""
    if not ranking:
        return ranking
    again = rng.choice(ranking, rng.integers(0, 4)).tolist()
    mixed = ranking + again
    return rng.permutation(mixed).tolist() if rng.random() < 0.5 else mixed


@pytest.mark.parametrize("divisor", truncated.DIVISORS)
def test_truncated_equals_its_definition(divisor):
    rng = np.random.default_rng(4)
    for k in (1, 2, 5, 40):
        lists, right = [], []
        for _ in range(60):
            ranking, positives, _ = _case(rng)
            lists.append(_with_repeats(rng, ranking))
            right.append(positives)
        actual = truncated.truncated_average_precisions(
            lists, right, k, divisor
        )
        expected = [
            slow_metrics.truncated_ap(ranking, positives, k, divisor)
            if positives
            else np.nan
            for ranking, positives in zip(lists, right)
        ]
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)
        assert (actual[~np.isnan(actual)] <= 1).all()


def test_truncated_by_hand():
    # The example of the module's docstring, and that it says so.
    ranking, positives = list("xaxbx"), set("abcdefghij")
    for divisor, value, text in (
        ("limited", 0.2, "= 0.2,"),
        ("all", 0.1, "= 0.1 "),
        ("found", 0.5, "= 0.5."),
    ):
        actual = truncated.truncated_average_precision(
            ranking, positives, 5, divisor
        )
        assert actual == pytest.approx(value, abs=1e-15)
        assert text in truncated.__doc__
    with pytest.raises(ValueError, match="at least 1"):
        truncated.truncated_average_precision(ranking, positives, 0)
    with pytest.raises(ValueError, match="'some'"):
        truncated.truncated_average_precision(ranking, positives, 5, "some")
    with pytest.raises(ValueError, match="1 for 2"):
        truncated.truncated_average_precisions(["a", "b"], ["a"], 1)


# Queries, lists and answers of the official metrics_test.py, with its results.
_SOLUTION = {
    "q1": {"i10", "i20"},
    "q2": {"i10"},
    "q3": {"i30", "i40", "i50"},
    "q4": {"i30"},
}
_PREDICTIONS = {"q2": ["i00", "i10"], "q3": ["i40"], "q4": ["i30", "i40"]}


def test_landmark_retrieval_values_of_the_official_tests():
    actual = evaluate_landmark_retrieval(_PREDICTIONS, _SOLUTION)
    assert actual.mean_average_precision == pytest.approx(0.458333, abs=1e-6)
    assert actual.precision_at[:2] == pytest.approx([0.5, 0.375])
    assert actual.mean_first_correct == 26.25
    assert actual.median_first_correct == 1.5
    assert actual.query_ids == ("q1", "q2", "q3", "q4")
    assert actual.average_precision == pytest.approx([0, 1 / 2, 1 / 3, 1])
    # A query with nothing to find changes no mean.
    more = evaluate_landmark_retrieval(
        {**_PREDICTIONS, "q5": ["i10"]}, {**_SOLUTION, "q5": set()}
    )
    assert np.isnan(more.average_precision[4])
    assert np.isnan([more.first_correct[4], *more.precision[4]]).all()
    assert more.num_queries == 4
    assert more.mean_average_precision == actual.mean_average_precision
    assert more.precision_at.tolist() == actual.precision_at.tolist()
    assert more.mean_first_correct == 26.25
    none = evaluate_landmark_retrieval({}, {"q5": set()})
    assert np.isnan(
        [
            none.mean_average_precision,
            none.median_first_correct,
            none.mean_first_correct,
            *none.precision_at,
        ]
    ).all()
    with pytest.raises(ValueError, match="1 others, the first is 'q9'"):
        evaluate_landmark_retrieval({"q9": []}, _SOLUTION)


def test_landmark_retrieval_equals_its_definition():
    rng = np.random.default_rng(6)
    predictions, solution = {}, {}
    for query in range(40):
        # Lists longer than 100, more than 100 right images, repeated ones.
        pool = int(rng.integers(5, 300))
        right = int(rng.integers(0, pool))
        solution[query] = set(rng.permutation(pool)[:right].tolist())
        if rng.random() < 0.8:
            length = int(rng.integers(0, 160))
            predictions[query] = rng.integers(pool, size=length).tolist()
    # The first hit may lie behind 100.
    solution[99] = {1}
    predictions[99] = [0] * 100 + [1]
    actual = evaluate_landmark_retrieval(predictions, solution)
    for row, (query, right) in enumerate(solution.items()):
        ranking = predictions.get(query, [])
        if not right:
            assert np.isnan(actual.average_precision[row])
            continue
        assert actual.average_precision[row] == pytest.approx(
            slow_metrics.truncated_ap(ranking, right, 100, "limited"), abs=1e-12
        )
        assert actual.first_correct[row] == slow_metrics.first_place(
            ranking, right, 100
        )
        for k in (1, 2, 7, 50, 100):
            assert actual.precision[row, k - 1] == pytest.approx(
                float(slow_metrics.precision_at(ranking, right, k)), abs=1e-12
            )
    assert actual.first_correct[-1] == landmark_retrieval.NOT_FOUND
    counted = [row for row, right in enumerate(solution.values()) if right]
    assert actual.mean_average_precision == pytest.approx(
        actual.average_precision[counted].mean()
    )


# Of the official metrics_test.py again.
_LANDMARKS = {"t1": {0, 12}, "t2": {100, 200}, "t3": {1}, "t4": {}, "t5": {}}
_GUESSES = {"t2": (0, 0.01), "t3": (1, 10.0), "t4": (150, 15.0)}


def test_landmark_recognition_values_of_the_official_tests():
    actual = evaluate_landmark_recognition(_GUESSES, _LANDMARKS)
    assert actual.gap == pytest.approx(0.166667, abs=1e-6)
    assert actual.gap_of_landmark_images == pytest.approx(0.333333, abs=1e-6)
    assert actual.top1 == pytest.approx(0.333333, abs=1e-6)
    assert (actual.num_images, actual.num_landmark_images) == (5, 3)
    assert (actual.num_predictions, actual.num_correct) == (3, 1)
    # scikit-learn is not told of the two that nothing right was said about.
    theirs = average_precision_score([0, 1, 0], [15.0, 10.0, 0.01])
    assert theirs == pytest.approx(3 * actual.gap)
    nobody = evaluate_landmark_recognition({}, {"t4": ()})
    assert np.isnan([nobody.gap, nobody.top1]).all()
    with pytest.raises(ValueError, match="nan for 't3'"):
        evaluate_landmark_recognition({"t3": (1, np.nan)}, _LANDMARKS)
    with pytest.raises(ValueError, match="'t9'"):
        evaluate_landmark_recognition({"t9": (1, 0.5)}, _LANDMARKS)


def _recognition_case(rng, size=25):
    solution = {
        f"t{i}": set(rng.integers(4, size=rng.integers(0, 3)).tolist())
        for i in rng.permutation(size)
    }
    solution["t0"] = {1}
    # Few different scores, so that ties abound.
    predictions = {
        image: (int(rng.integers(4)), float(rng.integers(5)))
        for image in rng.permutation(list(solution)).tolist()
        if rng.random() < 0.8
    }
    return predictions, solution


def test_landmark_recognition_equals_its_definition():
    rng = np.random.default_rng(7)
    for _ in range(60):
        predictions, solution = _recognition_case(rng)
        actual = evaluate_landmark_recognition(predictions, solution)
        assert actual.gap == pytest.approx(
            slow_metrics.gap(predictions, solution, False), abs=1e-12
        )
        assert actual.gap_of_landmark_images == pytest.approx(
            slow_metrics.gap(predictions, solution, True), abs=1e-12
        )
        right = [
            predictions.get(image, (-1, 0))[0] in landmarks
            for image, landmarks in solution.items()
            if landmarks
        ]
        assert actual.top1 == pytest.approx(np.mean(right))


def test_gap_interval_equals_measuring_drawn_test_sets():
    rng = np.random.default_rng(9)
    predictions, solution = _recognition_case(rng, 40)
    for image in list(predictions)[::2]:
        landmark = max(solution[image], default=0)
        predictions[image] = (landmark, predictions[image][1])
    images = list(solution)
    gaps = []
    for _ in range(2000):
        drawn = rng.choice(images, len(images))
        # A copy of an image is an image of its own, ranked beside it.
        copies = [(f"{image}/{i:02}", image) for i, image in enumerate(drawn)]
        gaps.append(
            evaluate_landmark_recognition(
                {n: predictions[i] for n, i in copies if i in predictions},
                {n: solution[i] for n, i in copies},
            ).gap
        )
    actual = landmark_recognition.bootstrap_gap_interval(
        predictions, solution, 0.9, num_samples=5000
    )
    expected = np.quantile(gaps, [0.05, 0.95])
    assert expected[1] - expected[0] > 0.1
    np.testing.assert_allclose([actual.low, actual.high], expected, atol=0.02)
