"""Evaluations side by side."""

import dataclasses
import html
import itertools
import re

import numpy as np
import pytest
from PIL import Image
from tool_process import last_line, run_tool

from delg_tf.common.errors import InputError
from delg_tf.data.revisited import (
    RevisitedGroundTruth,
    RevisitedQuery,
    save_ground_truth,
)
from delg_tf.evaluation.comparison.markdown import comparison_markdown
from delg_tf.evaluation.comparison.report import compare_runs
from delg_tf.evaluation.comparison.runs import Run, read_runs
from delg_tf.evaluation.intervals import with_intervals
from delg_tf.evaluation.record import RunRecord, write_record
from delg_tf.evaluation.run_facts import image_lists, revisited_record
from delg_tf.report.comparison_page import write_comparison_page
from delg_tf.retrieval.results import SearchResults

NAN = float("nan")
NAMES = ["a", "b", "c", "d", "e"]
FIRST = [10.0, 20.0, NAN, 40.0, 50.0]
SECOND = [15.0, 18.0, NAN, 70.0, 50.0]


def _record(values, names=NAMES, key="hard", **changes):
    metrics = {
        key: {"mAP": float(np.nanmean(values)), "per_query_ap": list(values)}
    }
    known = {
        "dataset": "roxford5k",
        "protocol": "revisited",
        "queries_cropped": True,
        "image_lists": image_lists(names, ["x", "y"]),
        "query_names": names,
        "verification": {"backend": "numba", "seed": 0},
        "class_list": {"name": "GLDv2-clean", "sha256": "1"},
    }
    return RunRecord(metrics=with_intervals(metrics), **(known | changes))


def _compare(second, **options):
    runs = [Run("A", _record(FIRST)), Run("B", second)]
    return compare_runs(runs, **options)


def test_queries_are_paired_by_name():
    order = [3, 0, 4, 2, 1]
    other = _record(
        [SECOND[i] for i in order],
        [NAMES[i] for i in order],
        verification={"backend": "opencv", "seed": 0},
    )
    comparison = _compare(other)
    (row,) = comparison.rows
    assert row.values == (30, 38.25)
    difference = row.differences[1]
    assert difference.mean == pytest.approx(8.25) == (5 - 2 + 30 + 0) / 4
    # All signs: the sum is at least 33 in absolute value for 4 of 16.
    changes = (5, 2, 30, 0)
    far = [
        abs(sum(s * c for s, c in zip(signs, changes))) >= 33
        for signs in itertools.product((-1, 1), repeat=4)
    ]
    assert difference.p_value == pytest.approx(sum(far) / 16)
    assert [q.name for q in comparison.queries] == ["d", "a", "b", "e", "c"]
    assert comparison.queries[0].values == (40, 70)
    differ = [s for s in comparison.settings if s.differs]
    # The order of the queries is another one, too.
    assert [(s.name, s.values) for s in differ][1:] == [
        ("verification.backend", ("numba", "opencv"))
    ]
    text = comparison_markdown(comparison, 2)
    assert "| hard     | mAP    | 30.00 [" in text and "+8.25 [" in text
    assert "3 more queries changed less." in text
    # Reference numbers stand under a heading of their own.
    measured, reference = text.split("## Published numbers")
    assert "Not measured here" in reference and "DELG paper" in reference
    assert "|  57.9 |" in reference and "DELG" not in measured


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"queries_cropped": False}, "only A has queries cropped"),
        ({"dataset": "rparis6k"}, "other data sets: roxford5k, rparis6k"),
        ({"protocol": "oxford"}, "other protocols"),
        (
            {"image_lists": image_lists(NAMES, ["x", "z"])},
            "other lists of index images: 2 images, SHA-256",
        ),
        ({"names": [*NAMES[:4], "f"]}, "other queries"),
    ],
)
def test_what_is_not_comparable_is_refused(changes, reason):
    other = _record(SECOND, **changes)
    with pytest.raises(InputError, match=f"not comparable.*{reason}.*--force"):
        _compare(other)
    text = comparison_markdown(_compare(other, force=True))
    assert re.search(rf"\*\*Not comparable: .*{reason}", text)
    if "names" in changes:
        # Nothing to pair.
        assert "no test: hard" in text and "+8.25" not in text


def test_a_query_that_counts_in_one_run_only():
    other = _record([15.0, NAN, NAN, 70.0, 50.0])
    with pytest.raises(
        InputError, match=r"hard, mAP: 1 queries, .* is b, have"
    ):
        _compare(other)
    (row,) = _compare(other, force=True).rows
    assert row.differences[1].num_queries == 3
    assert row.differences[1].mean == pytest.approx(35 / 3)


def test_what_is_not_recorded_is_said(tmp_path):
    other = dataclasses.replace(
        _record(SECOND), queries_cropped=None, query_names=None,
        class_list={"name": "RGLDv2-clean", "sha256": "2"},
    )  # fmt: skip
    comparison = _compare(other)
    assert comparison.rows[0].differences[1].mean == pytest.approx(8.25)
    notes = " ".join(comparison.notes)
    assert "whether queries were cropped of B" in notes
    assert "matched by their order, of B" in notes
    assert "other lists of classes" in notes
    with pytest.raises(InputError, match="No run has the protocol 'easy'"):
        _compare(other, protocol="easy")
    # Re-ranked by one only: what each gives in the end is compared.
    after = _record(SECOND, key="hard_after_gv")
    both = dataclasses.replace(other, metrics=other.metrics | after.metrics)
    rows = {row.measure.protocol: row for row in _compare(both).rows}
    assert list(rows) == ["hard", "hard_last"]
    assert rows["hard_last"].values == (30, 38.25)
    for name in ("x", "y"):
        write_record(tmp_path / name / "evaluation/metrics.json", other)
    folders = [tmp_path / name / "evaluation" for name in ("x", "y")]
    names = [run.name for run in read_runs(folders)]
    assert names == ["x/evaluation", "y/evaluation"]
    with pytest.raises(InputError, match="given twice"):
        read_runs([folders[0], folders[0] / "metrics.json"])


@pytest.fixture
def runs(tmp_path):
    """One query; i1 is right and i2 junk. The second run finds it first."""
    rng = np.random.default_rng(0)
    images = tmp_path / "jpg"
    images.mkdir()
    for name in ("q", "i0", "i1", "i2"):
        pixels = rng.integers(0, 256, (40, 60, 3), np.uint8)
        Image.fromarray(pixels).save(images / f"{name}.jpg")
    ids = [np.array(values, np.int64) for values in ([1], [], [2])]
    truth = RevisitedGroundTruth(
        ("q",), ("i0", "i1", "i2"), (RevisitedQuery(*ids, (5, 5, 30, 30)),)
    )
    save_ground_truth(truth, tmp_path / "gnd.pkl")
    for run, ranks, value in (("old", [0, 1, 2], 25), ("new", [1, 2, 0], 100)):
        results = SearchResults(
            ("q",), truth.index_names, np.array([ranks]), np.array([[3, 2, 1]])
        )
        results.save(tmp_path / f"{run}.npz")
        metrics = {"easy": {"mAP": float(value), "per_query_ap": [value]}}
        record = revisited_record(
            metrics,
            truth,
            files={
                "ground_truth": str(tmp_path / "gnd.pkl"),
                "images_dir": str(images),
                "search_results": str(tmp_path / f"{run}.npz"),
            },
        )
        write_record(tmp_path / run / "metrics.json", record)
    return tmp_path


def test_the_tool_and_its_page(runs):
    command = ["tools/compare_runs.py", runs / "old", runs / "new"]
    command.append(f"--output_dir={runs / 'out'}")
    done = run_tool(*command)
    assert done.returncode == 0, done.stderr
    markdown = (runs / "out/compare.md").read_text()
    assert markdown in done.stdout and "+75.00" in markdown
    page = (runs / "out/compare.html").read_text()
    # Before and after, with marks; nothing comes from elsewhere.
    places = re.findall(r'<li class="(\w+)" data-image="(\w+)">', page)
    assert places == [
        ("wrong", "i0"), ("right", "i1"), ("junk", "i2"),
        ("right", "i1"), ("junk", "i2"), ("wrong", "i0"),
    ]  # fmt: skip
    assert page.count('src="data:image/jpeg') == 7
    assert "its box was searched for" in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    again = run_tool(*command)
    assert again.returncode == 1 and "exists already" in again.stderr
    alone = run_tool("tools/compare_runs.py", runs / "old")
    assert alone.returncode == 1
    assert "at least two runs" in last_line(alone.stderr)


def test_a_page_without_what_is_gone(runs):
    (runs / "new.npz").unlink()
    (runs / "jpg/i0.jpg").unlink()
    (runs / "gnd.pkl").write_bytes(b"damaged")
    found = read_runs([runs / "old", runs / "new"], ["<old>", "new"])
    write_comparison_page(runs / "page.html", compare_runs(found))
    page = html.unescape((runs / "page.html").read_text())
    for gone in ("new.npz does not exist", "gnd.pkl", "No picture of 1, e.g."):
        assert gone in page
    assert page.count('src="data:image/jpeg') == 3
    assert "&lt;old&gt;" in (runs / "page.html").read_text()
