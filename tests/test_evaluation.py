import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from delg_tf.common.errors import InputError
from delg_tf.data.revisited import RevisitedGroundTruth, RevisitedQuery
from delg_tf.evaluation import metrics_file
from delg_tf.evaluation.metrics import revisited as metrics
from delg_tf.evaluation.revisited import evaluate, evaluate_before_and_after
from delg_tf.evaluation.table import metrics_table
from delg_tf.retrieval.results import SearchResults


def _walk(ranking, positives, junk, cutoffs):
    """AP, precision and recall by walking down the list, image by image."""
    cleaned = [image for image in ranking if image not in junk]
    found, area, precision_above = 0, 0.0, 1.0
    for seen, image in enumerate(cleaned, start=1):
        if image in positives:
            found += 1
            area += (precision_above + found / seen) / 2 / len(positives)
        precision_above = found / seen
    last = max(cleaned.index(image) for image in positives) + 1
    precision, recall = [], []
    for k in cutoffs:
        hits = sum(image in positives for image in cleaned[:k])
        precision.append(hits / min(k, last))
        recall.append(hits / len(positives))
    return area, precision, recall


def test_equals_walking_down_the_list():
    rng = np.random.default_rng(1)
    cutoffs = [1, 2, 5, 10]
    for _ in range(100):
        size = int(rng.integers(10, 40))
        ranking = rng.permutation(size)
        shuffled = rng.permutation(size)
        count, junk = rng.integers(1, 6), rng.integers(0, 5)
        positives = shuffled[:count]
        junk = shuffled[count : count + junk]
        actual = metrics.compute_metrics(
            ranking[None], [positives], [junk], cutoffs
        )
        area, precision, recall = _walk(
            ranking.tolist(), positives.tolist(), junk.tolist(), cutoffs
        )
        assert actual.mean_average_precision == pytest.approx(area, abs=1e-12)
        np.testing.assert_allclose(actual.precision[0], precision)
        np.testing.assert_allclose(actual.recall[0], recall)


def test_values_of_the_official_tests():
    # Literals of the official datasets/revisited_op/dataset_test.py.
    ranking = np.arange(40)
    adjusted = metrics.positive_ranks(
        ranking, np.array([20, 0, 2, 6, 10]), np.array([1, 8, 9, 30])
    )
    assert adjusted.tolist() == [0, 1, 5, 7, 17]
    assert metrics.average_precision([0, 2, 5]) == pytest.approx(
        0.677778, abs=1e-6
    )
    precision, recall = metrics.precision_and_recall_at([0, 2, 5], [1, 5, 10])
    np.testing.assert_allclose(precision, [1.0, 0.4, 0.5])
    np.testing.assert_allclose(recall, [0.333333, 0.666667, 1.0], atol=1e-6)
    nan = float("nan")
    nothing = np.zeros(0, np.int64)
    result = metrics.compute_metrics(
        np.array([[4, 2, 0, 1, 3], [0, 2, 4, 1, 3], [0, 1, 2, 3, 4]]),
        [np.array([0, 1]), np.array([0, 4]), nothing],
        [np.array([2]), nothing, nothing],
        [1, 2, 5],
    )
    third = 0.666667
    for actual, expected in (
        (result.mean_average_precision, 0.604167),
        (result.mean_precision, [0.5, 0.5, third]),
        (result.mean_recall, [0.25, 0.5, 1.0]),
        (result.average_precision, [0.416667, 0.791667, nan]),
        (result.precision, [[0, 0.5, third], [1, 0.5, third], [nan] * 3]),
        (result.recall, [[0, 0.5, 1], [0.5, 0.5, 1], [nan] * 3]),
    ):
        np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_docstring_says_how_scikit_learn_differs():
    relevant = np.array([1, 0, 1, 0, 0, 1])
    theirs = average_precision_score(relevant, -np.arange(6))
    assert theirs == pytest.approx(0.7222, abs=5e-5)
    assert "0.7222" in metrics.__doc__


def test_no_query_with_positives_is_nan():
    nothing = [np.zeros(0, np.int64)]
    result = metrics.compute_metrics(np.array([[1, 0]]), nothing, nothing, [1])
    assert math.isnan(result.mean_average_precision)
    assert np.isnan(result.mean_precision).tolist() == [True]


@pytest.mark.parametrize(
    ("positives", "junk", "cutoffs", "message"),
    [
        ([0], [1], [4], "index size, 3"),
        ([0], [0], [1], "overlap"),
        ([5], [], [1], "each positive once"),
        ([0], [], [0], "at least 1"),
    ],
)
def test_wrong_arguments(positives, junk, cutoffs, message):
    with pytest.raises(ValueError, match=message):
        metrics.compute_metrics(
            np.arange(3)[None], [np.array(positives)], [np.array(junk)], cutoffs
        )


def _ids(*values):
    return np.array(values, np.int64)


def _ground_truth():
    return RevisitedGroundTruth(
        query_names=("q0", "q1"),
        index_names=tuple("abcdefgh"),
        queries=(
            RevisitedQuery(_ids(0, 1), _ids(5, 7), _ids(3)),
            RevisitedQuery(_ids(2), _ids(), _ids()),
        ),
    )


def _results(rankings, inliers=None, index_names=tuple("abcdefgh")):
    ranks = np.array(rankings, np.int32)
    places = np.arange(ranks.shape[1], dtype=np.float32)
    return SearchResults(
        ("q0", "q1"),
        index_names,
        ranks,
        np.tile(1 - places / 10, (2, 1)),
        inliers,
    )


# Worked by hand. Query 0: junk d; easy a, b; hard f, h.
# Easy, list e a c b g: ranks 1, 3: AP = ((0 + 1/2) + (1/3 + 2/4)) / 4 = 1/3.
# Medium, list e a f c h b g: ranks 1, 2, 4, 5: AP = ((0 + 1/2) +
# (1/2 + 2/3) + (2/4 + 3/5) + (3/5 + 4/6)) / 8 = 0.5041667.
# Hard, list e f c h g: ranks 1, 3: AP = 1/3.
# Query 1: c comes first: AP 1; no hard image.
_RANKINGS = [[3, 4, 0, 5, 2, 7, 1, 6], [2, 0, 1, 3, 4, 5, 6, 7]]
_EXPECTED = {
    "easy": (200 / 3, {1: 50.0, 5: 75.0}, {1: 50.0, 5: 100.0}),
    "medium": (75.208333, {1: 50.0, 5: 80.0}, {1: 50.0, 5: 87.5}),
    "hard": (100 / 3, {1: 0.0, 5: 50.0}, {1: 0.0, 5: 100.0}),
}


def _assert_expected(actual):
    assert list(actual) == ["easy", "medium", "hard"]
    for protocol, (mean, precision, recall) in _EXPECTED.items():
        assert actual[protocol]["mAP"] == pytest.approx(mean)
        assert actual[protocol]["mP@k"] == pytest.approx(precision)
        assert actual[protocol]["mR@k"] == pytest.approx(recall)


def test_easy_medium_hard_by_hand():
    actual = evaluate(_results(_RANKINGS), _ground_truth(), [1, 5])
    _assert_expected(actual)
    assert actual["easy"]["per_query_ap"] == pytest.approx([100 / 3, 100])
    assert math.isnan(actual["hard"]["per_query_ap"][1])


def test_images_are_found_by_name():
    # Other order of queries and index images; a distractor at the very end.
    order = [6, 2, 7, 0, 5, 1, 4, 3]
    results = SearchResults(
        ("q1", "q0"),
        (*(("abcdefgh")[i] for i in order), "distractor"),
        np.array(
            [[order.index(i) for i in row] + [8] for row in _RANKINGS[::-1]]
        ),
        np.tile(np.linspace(1, 0, 9), (2, 1)),
    )
    _assert_expected(evaluate(results, _ground_truth(), [1, 5]))


def test_before_and_after():
    # Re-ranked lists; similarity says what the global order was.
    first = _results(_RANKINGS, np.zeros((2, 8), np.int32))
    best = np.array([[6, 2, 3, 5, 0, 1, 4, 7], list(range(8))])
    actual = evaluate_before_and_after(
        first.ordered(best), _ground_truth(), [1, 5]
    )
    _assert_expected({k: v for k, v in actual.items() if "_" not in k})
    # b a f h in front.
    assert actual["medium_after_gv"]["mAP"] == pytest.approx(100)
    assert list(actual)[3:] == [
        "easy_after_gv",
        "medium_after_gv",
        "hard_after_gv",
    ]


def test_results_that_do_not_fit():
    whole = _results(_RANKINGS)
    short = SearchResults(
        whole.query_names,
        whole.index_names,
        whole.ranks[:, :3],
        whole.similarities[:, :3],
    )
    with pytest.raises(InputError, match="list 3 of 8"):
        evaluate(short, _ground_truth(), [1])
    with pytest.raises(InputError, match="Precision at 10"):
        evaluate(whole, _ground_truth(), [1, 10])
    other = _results(_RANKINGS, index_names=tuple("abcdefgX"))
    with pytest.raises(InputError, match=r"1 index images .* is h"):
        evaluate(other, _ground_truth(), [1])


def _one(mean, precision, recall):
    return {
        "mAP": mean,
        "mP@k": precision,
        "mR@k": recall,
        "per_query_ap": [mean, float("nan")],
    }


def test_metrics_text_is_the_official_one(tmp_path):
    # Text of the official dataset_test.py.
    values = {
        "medium": _one(90.0, {1: 100.0, 5: 100.0}, {1: 50.0, 5: 100.0}),
        "hard": _one(70.0, {1: 100.0, 5: 80.0}, {1: 50.0, 5: 80.0}),
    }
    path = tmp_path / "metrics.txt"
    metrics_file.write_metrics_text(path, values)
    assert path.read_text() == (
        "hard\n"
        "  mAP=70.0\n"
        "  mP@k[1 5] [100.  80.]\n"
        "  mR@k[1 5] [50. 80.]\n"
        "medium\n"
        "  mAP=90.0\n"
        "  mP@k[1 5] [100. 100.]\n"
        "  mR@k[1 5] [ 50. 100.]\n"
    )
    read = metrics_file.read_metrics_text(path)
    assert list(read) == ["hard", "medium"]
    for protocol, expected in values.items():
        for key in ("mAP", "mP@k", "mR@k"):
            assert read[protocol][key] == expected[key]
    with pytest.raises(InputError, match="exists already"):
        metrics_file.write_metrics_text(path, values)


def test_long_lists_stay_on_one_line(tmp_path):
    many = {k: k / 3 for k in range(1, 1500)}
    path = tmp_path / "metrics.txt"
    metrics_file.write_metrics_text(path, {"hard": _one(1 / 3, many, many)})
    read = metrics_file.read_metrics_text(path)["hard"]
    assert read["mAP"] == 0.33
    assert read["mR@k"] == pytest.approx(many, abs=0.005)


_TEXT = "hard\n  mAP=1.0\n  mP@k[1] [1.]\n  mR@k[1] [1.]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_TEXT + _TEXT, "line 5: hard comes twice"),
        (_TEXT + "easy\n", "5 lines"),
        ("", "0 lines"),
        (_TEXT.replace("=1.0", "=x"), "line 2: expected '  mAP"),
        (_TEXT.replace("mR@k[1] [1.]", "mR@k[1] [1. 2.]"), "line 4: expected"),
        (_TEXT + _TEXT.replace("hard", "x").replace("k[1]", "k[2]"), "line 7"),
    ],
)
def test_malformed_metrics_text(tmp_path, text, message):
    path = tmp_path / "metrics.txt"
    path.write_text(_TEXT)
    assert metrics_file.read_metrics_text(path)["hard"]["mAP"] == 1.0
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        metrics_file.read_metrics_text(path)


def test_table():
    values = {
        "hard_after_gv": _one(7.125, {1: 100.0}, {1: 3.0}),
        "hard": _one(float("nan"), {1: 8.0}, {1: 0.0}),
        "easy": _one(50.0, {1: 8.0}, {1: 0.0}),
    }
    assert metrics_table(values) == (
        "| protocol | ranking   |   mAP |   mP@1 | mR@1 |\n"
        "| -------- | --------- | ----: | -----: | ---: |\n"
        "| easy     | global    | 50.00 |   8.00 | 0.00 |\n"
        "| hard     | global    |     - |   8.00 | 0.00 |\n"
        "| hard     | re-ranked |  7.12 | 100.00 | 3.00 |"
    )
