import json
import pathlib
import re
import xml.etree.ElementTree

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from tool_process import run_tool

from delg_tf.common.errors import InputError
from delg_tf.data.pairs import (
    ImagePairs,
    pairs_of_ground_truth,
    read_pairs,
    write_pairs,
)
from delg_tf.data.revisited import (
    RevisitedGroundTruth,
    RevisitedQuery,
    save_ground_truth,
)
from delg_tf.evaluation.metrics.pairs import (
    pair_average_precision,
    precision_recall_curve,
)
from delg_tf.evaluation.pairs import PairMetrics, evaluate_pairs
from delg_tf.evaluation.table import pair_metrics_table
from delg_tf.features import feature_io
from delg_tf.features.local_features import LocalFeatures
from delg_tf.matching.config import MatchingConfig
from delg_tf.report import svg
from delg_tf.retrieval.feature_store import FeatureStore

ROOT = pathlib.Path(__file__).resolve().parent.parent


def _slow_average_precision(scores, matches):
    """Takes the pairs of each score together, one pair at a time."""
    area, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = right = 0
        for score, match in zip(scores, matches):
            if score >= threshold:
                taken += 1
                right += match
        area += (right / sum(matches) - recall) * right / taken
        recall = right / sum(matches)
    return area


def test_average_precision_with_ties_against_others():
    rng = np.random.default_rng(0)
    for _ in range(100):
        size = int(rng.integers(2, 200))
        matches = rng.random(size) < rng.uniform(0.02, 0.9)
        matches[rng.integers(size)] = True
        # Mostly zeros, as numbers of inliers are; matches have more.
        scores = rng.poisson(rng.uniform(0.1, 3), size) * (
            rng.random(size) < 0.3 + 0.4 * matches
        )
        actual = pair_average_precision(scores, matches)
        assert actual == pytest.approx(
            average_precision_score(matches, scores), abs=1e-12
        )
        assert actual == pytest.approx(
            _slow_average_precision(scores.tolist(), matches.tolist()),
            abs=1e-12,
        )
        order = rng.permutation(size)
        assert pair_average_precision(scores[order], matches[order]) == actual


def test_average_precision_by_hand():
    # Taken at 3: one of two right; at 1: two of three; at 0: three of six.
    scores = np.array([0, 3, 1, 0, 3, 0])
    matches = np.array([1, 1, 1, 0, 0, 0], bool)
    curve = precision_recall_curve(scores, matches)
    assert curve.thresholds.tolist() == [3, 1, 0]
    np.testing.assert_allclose(curve.precision, [1 / 2, 2 / 3, 1 / 2])
    np.testing.assert_allclose(curve.recall, [1 / 3, 2 / 3, 1])
    assert pair_average_precision(scores, matches) == pytest.approx(5 / 9)
    # Had the matches of a tie come first, by chance, it would be more.
    best = pair_average_precision(scores + 0.1 * matches, matches)
    assert best == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert pair_average_precision(np.zeros(6), matches) == 0.5
    assert pair_average_precision(matches.astype(int), matches) == 1
    # The value in the docstring, for matches at ranks 0, 2, 5.
    ranked = np.array([1, 0, 1, 0, 0, 1], bool)
    value = pair_average_precision(-np.arange(6), ranked)
    assert f"{value:.4f}" in pair_average_precision.__doc__


@pytest.mark.parametrize(
    ("scores", "matches", "message"),
    [
        ([1, 2], [True], "shape"),
        ([1, 2], [1, 0], "bool"),
        ([1, np.nan], [True, False], "1 NaN"),
        ([1, 2], [False, False], "0 True"),
        ([], np.zeros(0, bool), "0 True"),
    ],
)
def test_average_precision_wrong_arguments(scores, matches, message):
    with pytest.raises(ValueError, match=message):
        pair_average_precision(np.array(scores), np.array(matches))


def test_pairs_file(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text(
        "note,match,index,query\n"
        'x,1,b,"a,a"\n'
        "\n"
        "x,0, c ,q/a\n"
        "again,1,b,'a,a'\n".replace("'", '"')
    )
    pairs = read_pairs(path)
    assert pairs.names() == [("a,a", "b"), ("q/a", "c")]
    assert pairs.matches.tolist() == [True, False]
    copy = tmp_path / "new" / "pairs.csv"
    write_pairs(copy, pairs, columns={"inliers": np.array([7, 0], np.int32)})
    assert copy.read_text() == (
        'query,index,match,inliers\n"a,a",b,1,7\nq/a,c,0,0\n'
    )
    again = read_pairs(copy)
    assert again.names() == pairs.names()
    assert again.matches.tolist() == pairs.matches.tolist()
    with pytest.raises(InputError, match="exists already"):
        write_pairs(copy, pairs)
    with pytest.raises(ValueError, match="1 in 'inliers'"):
        write_pairs(copy, pairs, True, {"inliers": [1]})
    with pytest.raises(ValueError, match="bool"):
        ImagePairs(("a",), ("b",), np.array([1]))


_GOOD = "query,index,match\na,b,1\na,c,0\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("query,index,match\n", "lists no pairs"),
        ("query,image,match\na,b,1\n", "line 1: no column 'index'"),
        (_GOOD + "a,b\n", "line 4: 2 fields"),
        (_GOOD + "a,d,yes\n", "line 4: match must be 1 .* not 'yes'"),
        (_GOOD + "a,,1\n", "line 4: the name in index is empty"),
        (_GOOD + " ,d,1\n", "line 4: the name in query is empty"),
        (_GOOD + "a,b,0\n", "line 4: the pair a, b has .* 1 in line 2"),
        ("query,index,match\na,b,1\n", "no non-matching pair"),
        ("query,index,match\na,b,0\n", "no matching pair"),
    ],
)
def test_bad_pairs_file(tmp_path, text, message):
    path = tmp_path / "pairs.csv"
    path.write_text(_GOOD)
    assert len(read_pairs(path)) == 2
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_pairs(path)
    assert str(path) in str(caught.value)


def _ids(*values):
    return np.array(values, np.int64)


def _truth():
    """Twenty images; q1 has one that is unlabelled, i19."""
    return RevisitedGroundTruth(
        ("q0", "q1"),
        tuple(f"i{n}" for n in range(20)),
        (
            RevisitedQuery(_ids(7, 2), _ids(4), _ids(0, 1)),
            RevisitedQuery(_ids(0), _ids(*range(1, 10)), _ids(*range(10, 19))),
        ),
    )


def test_pairs_of_ground_truth():
    pairs = pairs_of_ground_truth(_truth(), 5, seed=3)
    names = pairs.names()
    assert len(set(names)) == len(names) == 3 + 5 + 10 + 1
    right = [name for name, match in zip(names, pairs.matches) if match]
    assert right[:3] == [("q0", "i7"), ("q0", "i2"), ("q0", "i4")]
    assert right[3:] == [("q1", f"i{n}") for n in range(10)]
    assert names[-1] == ("q1", "i19") and not pairs.matches[-1]
    assert pairs_of_ground_truth(_truth(), 5, seed=3).names() == names
    # Over many seeds each image without a label is drawn 5 times of 15.
    drawn = []
    for seed in range(300):
        other = pairs_of_ground_truth(_truth(), 5, seed)
        drawn += [i for q, i in np.array(other.names())[3:8] if q == "q0"]
    images, times = np.unique(drawn, return_counts=True)
    assert set(images) == {f"i{n}" for n in range(20)} - {
        "i0", "i1", "i2", "i4", "i7",
    }  # fmt: skip
    assert (np.abs(times - 100) < 40).all()


def test_pairs_of_ground_truth_bad_input():
    for arguments, message in (
        ((0,), "negatives_per_query must be at least 1"),
        ((1, -1), "seed must be at least 0"),
    ):
        with pytest.raises(InputError, match=message):
            pairs_of_ground_truth(_truth(), *arguments)
    nothing = RevisitedQuery(_ids(), _ids(), _ids(0))
    truth = RevisitedGroundTruth(("q",), ("a", "b"), (nothing,))
    with pytest.raises(InputError, match="ground truth has no matching pair"):
        pairs_of_ground_truth(truth, 1)
    everything = RevisitedQuery(_ids(0), _ids(1), _ids())
    truth = RevisitedGroundTruth(("q",), ("a", "b"), (everything,))
    with pytest.raises(InputError, match="no non-matching"):
        pairs_of_ground_truth(truth, 1)


def _local(seed, count=30):
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(count, 64))
    return LocalFeatures(
        locations=rng.uniform(0, 300, (count, 2)),
        descriptors=descriptors
        / np.linalg.norm(descriptors, axis=1, keepdims=True),
        scales=np.ones(count),
        attention=np.ones(count),
        orientations=np.zeros(count),
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """q0 shows what i0, i1 show; q1 what i2 shows; i3 has a part of q1."""
    folder = tmp_path_factory.mktemp("data")
    images = {
        "query/q0": _local(0),
        "query/q1": _local(1),
        "index/i0": _local(0),
        "index/i1": _local(0).top(12),
        "index/i2": _local(1),
        "index/i3": _local(1).top(9),
        "index/i4": _local(4),
        "index/i5": LocalFeatures.empty(),
    }
    for name, features in images.items():
        feature_io.write_local_features(folder / f"{name}.delg_local", features)
    save_ground_truth(
        RevisitedGroundTruth(
            ("q0", "q1"),
            tuple(f"i{n}" for n in range(6)),
            (
                RevisitedQuery(_ids(0), _ids(1), _ids()),
                RevisitedQuery(_ids(2), _ids(5), _ids(4)),
            ),
        ),
        folder / "gnd.pkl",
    )
    return folder


def test_evaluate_pairs(data, tmp_path):
    query = FeatureStore(data / "query")
    pairs = ImagePairs(
        ("q0", "q1", "q0", "q1"),
        ("i0", "i3", "i1", "i5"),
        np.array([True, False, True, True]),
    )
    index = FeatureStore(data / "index")
    metrics = evaluate_pairs(pairs, query, index, MatchingConfig(), 1)
    assert metrics.inliers.tolist() == [30, 9, 12, 0]
    assert metrics.average_precision == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert (metrics.num_pairs, metrics.num_matching) == (4, 3)
    assert metrics.chance == 0.75
    assert metrics.curve.thresholds.tolist() == [30, 12, 9, 0]
    assert metrics.problems == ()
    strict = MatchingConfig(min_inliers=20)
    metrics = evaluate_pairs(pairs, query, index, strict, 2)
    assert metrics.inliers.tolist() == [30, 0, 0, 0]
    # A damaged file counts as no inliers, and is named.
    bad = tmp_path / "i0.delg_local"
    bad.write_bytes(b"\xff" * 40)
    one = ImagePairs(("q0",), ("i0",), np.array([True]))
    metrics = evaluate_pairs(one, query, FeatureStore(tmp_path), strict, 1)
    assert metrics.inliers.tolist() == [0]
    assert len(metrics.problems) == 1 and str(bad) in metrics.problems[0]


def test_table():
    matches = np.array([True, False, False, True])
    inliers = np.array([7, 0, 1, 2], np.int32)
    metrics = PairMetrics(
        1.0, matches, inliers, precision_recall_curve(inliers, matches)
    )
    assert pair_metrics_table(metrics) == (
        "| pairs | matching |     AP | chance | inliers | of others |\n"
        "| ----: | -------: | -----: | -----: | ------: | --------: |\n"
        "|     4 |        2 | 100.00 |  50.00 |     4.5 |       0.5 |"
    )


def test_tool(data, tmp_path):
    folders = [
        f"--query_features_dir={data / 'query'}",
        f"--index_features_dir={data / 'index'}",
    ]
    first = tmp_path / "first"
    done = run_tool(
        "tools/evaluate_pairs.py",
        f"--dataset_file_path={data / 'gnd.pkl'}",
        "--negatives_per_query=2",
        "--seed=5",
        f"--output_dir={first}",
        *folders,
    )
    assert done.returncode == 0, done.stderr
    content = json.loads((first / "metrics.json").read_text())
    rows = [line.split(",") for line in (first / "pairs.csv").open()]
    labels = np.array([int(row[2]) for row in rows[1:]])
    inliers = np.array([int(row[3]) for row in rows[1:]])
    assert rows[0] == ["query", "index", "match", "inliers\n"]
    assert rows[1] == ["q0", "i0", "1", "30\n"]
    assert content["metrics"] == {
        "average_precision": pytest.approx(
            100 * average_precision_score(labels, inliers)
        ),
        "chance": 50.0,
        "pairs": 8,
        "matching_pairs": 4,
        "damaged_files": [],
    }
    assert content["details"]["seed"] == 5
    assert content["details"]["matching"]["residual_threshold"] == 20.0
    value = f"{content['metrics']['average_precision']:.2f}"
    assert f"|     8 |        4 | {value} |  50.00 |" in done.stdout
    _check_picture(first / "precision_recall.svg", value)
    # What it wrote are pairs that it reads; others are needed for nothing.
    second = tmp_path / "second"
    done = run_tool(
        "tools/evaluate_pairs.py",
        f"--pairs_file={first / 'pairs.csv'}",
        "--seed=5",
        f"--output_dir={second}",
        *folders,
    )
    assert done.returncode == 0, done.stderr
    again = json.loads((second / "metrics.json").read_text())
    assert again["metrics"] == content["metrics"]
    assert (second / "pairs.csv").read_text() == (
        first / "pairs.csv"
    ).read_text()
    (second / "metrics.json").unlink()
    done = run_tool(
        "tools/evaluate_pairs.py",
        f"--pairs_file={first / 'pairs.csv'}",
        f"--output_dir={second}",
        *folders,
    )
    assert done.returncode == 1 and "pairs.csv exists already" in done.stderr
    assert not (second / "metrics.json").exists()


def _check_picture(path, value):
    text = path.read_text()
    root = xml.etree.ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("aria-label").startswith("Precision over recall")
    words = {node.text for node in root.iter() if node.tag.endswith("}text")}
    assert {f"inliers, AP {value}", "chance 50.00", "matching (4)"} <= words
    # No colour is left that only a page's style sheet knows.
    assert "#0101" not in text and "var(" not in text


def test_picture_has_the_colours_of_the_page():
    css = (ROOT / "delg_tf/report/templates/style.css").read_text()
    for stand_in, variable in svg._VARIABLES.items():
        light = re.search(rf"{variable}: (#\w{{6}});", css)[1]
        assert svg._COLORS[stand_in] == light


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "error: Pass either --pairs_file or"),
        (
            ["--dataset_file_path={d}/gnd.pkl"],
            "error: 6 files *.delg_local missing",
        ),
        (["--pairs_file={d}/gnd.csv"], "gnd.csv does not exist"),
    ],
)
def test_tool_refuses(data, tmp_path, arguments, text):
    done = run_tool(
        "tools/evaluate_pairs.py",
        f"--query_features_dir={data / 'query'}",
        f"--output_dir={tmp_path / 'out'}",
        *(argument.format(d=data) for argument in arguments),
    )
    assert done.returncode == 1
    assert text in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
