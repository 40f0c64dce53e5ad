import re

import numpy as np
import pytest
from html_tree import assert_alone, parse
from PIL import Image

from delg_tf.evaluation.record import RunRecord
from delg_tf.report.recognition_inputs import RecognitionReport
from delg_tf.report.recognition_report import write_recognition_report

SOLUTION = {
    "private": {
        "r1": (5,), "r2": (5, 6), "w1": (7,), "d1": (), "d2": (), "m1": (8,),
        "quiet": (),
    },
    "public": {"p": (1,)},
}  # fmt: skip
PREDICTIONS = {
    "d1": (5, 0.9), "r1": (5, 0.8), "w1": (5, 0.7), "r2": (6, 0.3),
    "d2": (9, 0.2), "p": (2, 0.1),
}  # fmt: skip


def _page(tmp_path, **more):
    report = RecognitionReport(
        "R & <R>", PREDICTIONS, SOLUTION, "private", 1234, **more
    )
    path = tmp_path / "report.html"
    write_recognition_report(report, path)
    text = path.read_text(encoding="utf-8")
    assert_alone(text)
    return parse(text), text


def _lists(page):
    return {
        node.all("h2")[0].text: [
            (item.attributes["data-image"], item.text)
            for item in node.all("li")
        ]
        for node in page.all("section")
        if node.attributes["id"].startswith("list-")
    }


def test_wrong_answers_come_by_confidence(tmp_path):
    page, _ = _page(tmp_path, landmark_names={5: "Old <tower>"})
    lists = _lists(page)
    assert [
        (heading, [name for name, _ in items])
        for heading, items in lists.items()
    ] == [
        ("Most confident wrong answers", ["d1", "w1", "d2"]),
        # Not answered, then what was named wrong.
        ("Missed landmarks", ["m1", "w1"]),
        ("Right, but with the lowest scores", ["r2", "r1"]),
    ]
    wrong = dict(lists["Most confident wrong answers"])
    assert "Said: Old <tower> (5) Shows: no landmark" in wrong["d1"]
    assert "✗ wrong landmark Said: Old <tower> (5) Shows: 7" in wrong["w1"]
    assert "Score 0.700, rank 3" in wrong["w1"]
    # GAP: (1/2 + 2/4) / 4 landmark images; without d1 and d2: (1 + 2/3) / 4.
    rows = [
        [cell.text for cell in row.children]
        for row in page.all("table", "results")[0].all("tr")[1:]
    ]
    assert rows[0] == ["private", "25.0", "41.7", "50.0"]
    assert rows[1] == ["public", "0.0", "0.0", "0.0"]
    counts = page.all("table", "counts")[0].text
    for count in ("Right 2", "Wrong landmark 1", "no landmark 2", "answered 1"):
        assert count in counts
    short, _ = _page(tmp_path, max_images=1)
    assert [len(items) for items in _lists(short).values()] == [1, 1, 1]


def test_pictures_where_there_are_any(tmp_path):
    tests, index = tmp_path / "test", tmp_path / "index" / "t" / "r" / "a"
    for folder, names in ((tests, ("d1", "w1", "r1")), (index, ("train5",))):
        folder.mkdir(parents=True)
        for name in names:
            pixels = np.full((40, 60, 3), 99, np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}.jpg")
    page, text = _page(
        tmp_path,
        photographs=tests,
        index_photographs=tmp_path / "index",
        evidence=lambda names: {n: ["train5", "other"] for n in names},
        example={7: "train7"}.get,
    )
    shown = [node.attributes["alt"] for node in page.all("img")]
    assert shown.count("Test image w1") == 2
    assert "Voted for the answer train5" in shown
    gone = [n.attributes["aria-label"] for n in page.all("div", "gone")]
    assert "The right landmark train7; no picture" in gone
    assert "Test image m1; no picture" in gone
    remarks = page.all("div", "remarks")[0].text
    assert "m1.jpg" in remarks and re.search(r"and \d+ more", remarks)
    assert len(text) < 1e6


def test_record_gives_intervals_and_settings(tmp_path):
    interval = {"low": 11.0, "high": 44.0, "level": 0.95}
    metrics = {"private": {"GAP": 25.0, "intervals": {"GAP": interval}}}
    page, _ = _page(
        tmp_path, record=RunRecord(metrics=metrics, dataset="gldv2")
    )
    row = page.all("table", "results")[0].all("tr")[1]
    assert row.text == "private 25.0 11.0 to 44.0 – –"
    assert "Data set gldv2" in page.all("div", "facts")[0].text
    with pytest.raises(ValueError, match="part"):
        RecognitionReport("R", {}, SOLUTION, "hidden")
