import dataclasses
import json

import numpy as np
import pytest
from html_tree import assert_alone, parse
from PIL import Image

from delg_tf.common.errors import InputError
from delg_tf.data.revisited import (
    PROTOCOLS,
    RevisitedGroundTruth,
    RevisitedQuery,
)
from delg_tf.evaluation.published import PublishedRow
from delg_tf.evaluation.record import RunRecord
from delg_tf.features import feature_io
from delg_tf.features.local_features import LocalFeatures
from delg_tf.matching.config import MatchingConfig
from delg_tf.report.landmark_queries import landmark_queries
from delg_tf.report.retrieval_inputs import (
    RankedList,
    RetrievalReport,
    TableRow,
    Training,
)
from delg_tf.report.retrieval_report import write_retrieval_report
from delg_tf.report.revisited_queries import revisited_queries
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.streaming.rankings import StreamedRankings

ODD = """q<b>&'"1"""
QUERIES = ("q0", ODD, "q2")
INDEX = tuple(f"i{n:02d}" for n in range(12))
SHORT_LIST = 6


def _features(rng, count):
    return LocalFeatures(
        locations=rng.uniform(0, 60, (count, 2)),
        descriptors=rng.normal(size=(count, 8)),
        scales=rng.choice([0.5, 1.0, 2.0], count),
        attention=rng.uniform(1, 9, count),
        orientations=np.zeros(count),
    )


def _truth():
    """q0: right 3, 7, 8, junk 5; the odd one: right 0, junk 1; q2: none."""

    def query(easy, hard, junk, box=None):
        ids = (np.array(x, np.int64) for x in (easy, hard, junk))
        return RevisitedQuery(*ids, bbx=box)

    return RevisitedGroundTruth(
        QUERIES,
        INDEX,
        (
            query([3, 7], [8], [5], (10.2, 5.0, 50.0, 60.0)),
            query([0], [], [1]),
            query([], [], [2]),
        ),
    )


def _results(rng):
    """Random rankings; right images of the short list get most inliers."""
    ranks = np.stack([rng.permutation(12) for _ in QUERIES])
    # Both rankings of the odd query are perfect.
    ranks[1] = np.arange(12)
    # q0 finds its three right images at the ranks 4 to 6 and the junk 2.
    ranks[0] = [1, 5, 2, 3, 7, 8, 0, 4, 6, 9, 10, 11]
    cosines = np.linspace(0.9, 0.1, 12, dtype=np.float32)
    before = SearchResults(QUERIES, INDEX, ranks, np.tile(cosines, (3, 1)))
    inliers = np.zeros((3, 12), np.int32)
    inliers[0, :6] = [4, 11, 3, 30, 20, 10]
    inliers[1, :6] = [40, 5, 5, 5, 4, 3]
    order = np.argsort(-inliers, axis=1, kind="stable")
    after = dataclasses.replace(before, inliers=inliers).ordered(order)
    return before, after


@pytest.fixture
def inputs(tmp_path):
    rng = np.random.default_rng(0)
    images = tmp_path / "jpg"
    images.mkdir()
    for number, name in enumerate(QUERIES + INDEX):
        folder = tmp_path / ("index" if name in INDEX else "query")
        features = _features(rng, 30)
        feature_io.write_local_features(folder / f"{name}.delg_local", features)
        shape = (64, 48, 3) if number % 2 else (60, 90, 3)
        pixels = rng.integers(0, 255, shape, np.uint8)
        Image.fromarray(pixels).save(images / f"{name}.jpg")
    return RetrievalReport(
        title="A <script>title</script> & more",
        queries=_joined(),
        protocols=PROTOCOLS,
        protocol="medium",
        num_index_images=len(INDEX),
        images=(images, images),
        features=(tmp_path / "query", tmp_path / "index"),
        matching=MatchingConfig(residual_threshold=3.5),
        num_to_rerank=SHORT_LIST,
        measured=[TableRow("Untrained <net>", {"easy": 1.25, "medium": None})],
        settings={"Run": {"seed": 4321, "data": {"classes": 7}}},
    )


def _joined():
    before, after = _results(np.random.default_rng(0))
    return revisited_queries(_truth(), before, after, SHORT_LIST)


def _training(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    rows = [
        {"step": 1, "kind": "train", "global": 3.0, "learning_rate": 0.1},
        {"step": 2, "kind": "train", "global": 2.0, "learning_rate": 0.0},
        {"step": 2, "kind": "network", "sparsity/block1": 0.4},
    ]
    lines = [json.dumps(row) + "\n" for row in rows]
    (run / "history.jsonl").write_text("".join(lines))
    model = {"model": {"backbone": "tiny<net>"}, "training": {"seed": 17}}
    (run / "model.json").write_text(json.dumps(model))
    return Training(
        run, seconds={"odd<stage>": 61.0, "search": 2.0, "unknown": None}
    )


def _written(inputs, tmp_path):
    path = tmp_path / "out" / "report.html"
    write_retrieval_report(inputs, path)
    return path.read_text(encoding="utf-8")


def test_page_needs_nothing_but_itself(inputs, tmp_path):
    text = _written(inputs, tmp_path)
    assert len(text) < 8e6
    assert_alone(text)
    assert text.count("<script>") == 1
    assert _written(inputs, tmp_path) == text


def _strips(page):
    """For each query and stage: (image, mark, text) of the places."""
    strips = {}
    for article in page.all("article"):
        name = article.all("h3")[0].text
        for stage in ("before", "after"):
            (strip,) = article.all("ol", stage)
            strips[name, stage] = [
                (
                    item.attributes["data-image"],
                    item.attributes["class"],
                    item.text,
                )
                for item in strip.all("li")
            ]
    return strips


def test_ranked_images_are_marked_by_the_ground_truth(inputs, tmp_path):
    strips = _strips(parse(_written(inputs, tmp_path)))
    # q2 has no right image and is not shown.
    assert {name for name, _ in strips} == {"q0", ODD}
    right = {"q0": {"i03", "i07", "i08"}, ODD: {"i00"}}
    junk = {"q0": {"i05"}, ODD: {"i01"}}
    symbols = {"right": "✓", "wrong": "✗", "junk": "○"}
    for (name, _), places in strips.items():
        assert len(places) == 10
        for image, mark, text in places:
            expected = (
                "right"
                if image in right[name]
                else "junk" if image in junk[name] else "wrong"
            )  # fmt: skip
            assert mark == expected
            assert f"{symbols[expected]} {expected}" in text
    before, after = strips["q0", "before"], strips["q0", "after"]
    assert [place[0] for place in before[:6]] == [
        "i01", "i05", "i02", "i03", "i07", "i08",
    ]  # fmt: skip
    assert [place[0] for place in after[:6]] == [
        "i03", "i07", "i05", "i08", "i01", "i02",
    ]  # fmt: skip
    assert after[0][2] == "1 ✓ right 30 inliers was 4"
    assert before[0][2] == "1 ✗ wrong cosine 0.90 4 inliers"
    assert before[6][2].endswith("not verified")


def test_protocol_decides_what_is_right(inputs, tmp_path):
    hard = dataclasses.replace(inputs, protocol="hard")
    strips = _strips(parse(_written(hard, tmp_path)))
    marks = {image: mark for image, mark, _ in strips["q0", "after"]}
    assert {name for name, _ in strips} == {"q0"}
    assert marks["i08"] == "right" and marks["i03"] == marks["i05"] == "junk"
    with pytest.raises(ValueError, match="protocol"):
        dataclasses.replace(inputs, protocol="all")


def _cells(table):
    return [[cell.text for cell in row.children] for row in table.all("tr")[1:]]


def test_numbers_of_the_page(inputs, tmp_path):
    inputs = dataclasses.replace(inputs, training=_training(tmp_path))
    page = parse(_written(inputs, tmp_path))
    # q0 without its junk: before, right images have the ranks 2, 3, 4 (from
    # 0): (0/2 + 1/3 + 1/3 + 2/4 + 2/4 + 3/5) / 6; after, the first three.
    # Easy, without image 8 too: (0/2 + 1/3 + 1/3 + 2/4) / 4. The odd query
    # has 100 everywhere, so that intervals go from the lower AP to 100.
    table = _cells(page.all("table", "results")[0])
    assert table[0] == ["Untrained <net>", "1.2", "–", "–"]
    assert table[1][1:3] == ["64.6 29.2 to 100.0", "68.9 37.8 to 100.0"]
    assert table[2][1:3] == ["100.0 100.0 to 100.0"] * 2
    ap = [node.all("p", "ap")[0].text for node in page.all("article")]
    assert "AP 37.8 → after re-ranking 100.0 (+62.2)" in ap
    per_query = _cells(page.all("table", "sortable")[0])
    assert ["q0", "29.2", "100.0", "+70.8", "37.8", "100.0", "+62.2"] in [
        row[:7] for row in per_query
    ]
    # Nothing to find: at the end.
    assert per_query[-1][:2] == ["q2", "–"]
    times = page.all("table", "times")[0].text
    assert "1 min 01 s" in times and "1 min 03 s" in times
    # Verified: 6 for each query; of q0 3 right, 1 junk; of the odd one 1
    # right, 1 junk; q2 has none right, and image 2 is its junk.
    verified = inputs.queries[2].before.names[:SHORT_LIST]
    junk = 2 + ("i02" in verified)
    charts = next(
        node.text
        for node in page.all("section")
        if node.attributes["id"] == "charts"
    )
    for count in ("right (4)", f"wrong ({14 - junk})", f"junk ({junk})"):
        assert count in charts
    for text in ("4321", "data.classes 7", "residual_threshold 3.5", "17"):
        assert text in page.all("section")[-1].text
    headings = [node.text for node in page.all("h3")]
    assert {"Global loss", "Learning rate", "Sparsity"} <= set(headings)
    assert "Attention scores" not in headings


def test_record_and_published_numbers_are_told_apart(inputs, tmp_path):
    record = RunRecord(
        metrics={"medium": {"mAP": 12.5, "mP@k": {1: 50.0, 10: 25.0}}},
        queries_cropped=False,
        model={"sha256": "abc<123>"},
    )
    published = [PublishedRow("R50 of others", {"hard": 77.7}, "A paper")]
    page = parse(
        _written(
            dataclasses.replace(inputs, record=record, published=published),
            tmp_path,
        )
    )
    facts = page.all("div", "facts")[0].text
    for text in (
        "Queries cropped no", "SHA-256 abc<123>", "training not recorded",
        "verification none",
    ):  # fmt: skip
        assert text in facts
    others = page.all("table", "metrics")[0]
    assert others.text.endswith("medium 12.5 50.0 25.0")
    reference = page.all("div", "reference")[0]
    assert "Not measured here" in reference.text
    assert _cells(reference.all("table")[0]) == [
        ["R50 of others", "–", "–", "77.7", "A paper"]
    ]
    elsewhere = page.text.replace(reference.text, "")
    assert "77.7" not in elsewhere and "R50 of others" not in elsewhere


def test_odd_names_are_text(inputs, tmp_path):
    inputs = dataclasses.replace(inputs, training=_training(tmp_path))
    text = _written(inputs, tmp_path)
    page = parse(text)
    assert page.all("h1")[0].text == inputs.title
    assert ODD in [node.text for node in page.all("h3")]
    assert any(ODD in n.attributes["alt"] for n in page.all("img"))
    for markup in ("<script>title", "<b>&'", "<stage>", "<net>"):
        assert markup not in text


def test_what_is_gone_is_said_and_left_out(inputs, tmp_path):
    (tmp_path / "index" / "i03.delg_local").unlink()
    (tmp_path / "index" / "i00.delg_local").write_bytes(b"\xff")
    images = inputs.images[0]
    (images / "i07.jpg").write_bytes(b"no image")
    (images / "i08.jpg").unlink()
    text = _written(inputs, tmp_path)
    assert_alone(text)
    page = parse(text)
    remarks = page.all("div", "remarks")[0].text
    for name in ("i07.jpg", "i08.jpg", "i03"):
        assert name in remarks
    gone = {node.text for node in page.all("div", "gone")}
    assert gone == {"i07", "i08"}
    # Its photograph is there, so are the ranked lists.
    assert page.all("img") and len(_strips(page)["q0", "after"]) == 10

    moved = dataclasses.replace(
        inputs,
        images=(tmp_path / "no", tmp_path / "no"),
        features=(tmp_path / "no", tmp_path / "no"),
    )
    page = parse(_written(moved, tmp_path))
    assert not page.all("img")
    assert "missing" in page.all("div", "remarks")[0].text


def test_streamed_rankings_give_the_same_queries():
    before, after = _results(np.random.default_rng(0))
    truth = _truth()

    def streamed(results):
        labelled = [
            np.sort(np.concatenate([q.easy, q.hard, q.junk]))
            for q in truth.queries
        ]
        places = [
            np.argsort(ranks)[ids]
            for ranks, ids in zip(results.ranks, labelled)
        ]
        return StreamedRankings(
            results.first(SHORT_LIST), tuple(labelled), tuple(places)
        )

    whole = revisited_queries(truth, before, after, SHORT_LIST)
    short = revisited_queries(
        truth, streamed(before), streamed(after), SHORT_LIST
    )
    for one, other in zip(whole, short):
        assert list(one.after.names[:SHORT_LIST]) == other.after.names
        for protocol in PROTOCOLS:
            for which in ("before", "after"):
                first, second = (
                    getattr(query.outcomes[protocol], which)
                    for query in (one, other)
                )
                np.testing.assert_array_equal(first.ranks, second.ranks)
                np.testing.assert_equal(
                    first.average_precision, second.average_precision
                )
    old = revisited_queries(truth, before, protocols={"oxford": "easy"})
    assert list(old[0].outcomes) == ["oxford"] and old[0].after is None
    assert old[0].outcomes["oxford"].right == {"i03", "i07"}
    with pytest.raises(InputError, match="whole"):
        revisited_queries(truth, before.first(5))


def test_landmark_retrieval_has_short_lists_and_no_junk(tmp_path):
    solution = {
        "public": {"a": {"x", "y"}, "b": {"z"}},
        "private": {"c": {"w"}, "d": ()},
    }
    lists = {
        "a": RankedList(["x", "x", "n", "y"]),
        "c": RankedList(["n", "w"], np.array([0.5, 0.25])),
    }
    queries = landmark_queries(solution, lists)
    found = [
        [query.outcomes[part].before.average_precision for part in solution]
        for query in queries
    ]
    # AP@100 of a: (1/1 + 2/4) / 2; of c: 1/2.
    nan = np.nan
    np.testing.assert_allclose(
        found, [[75, nan], [0, nan], [nan, 50], [nan, nan]]
    )
    np.testing.assert_array_equal(
        queries[0].outcomes["public"].before.ranks, [0, 3]
    )
    report = RetrievalReport(
        "L", queries, tuple(solution), "public", 99, metric_name="mAP@100"
    )
    text = _written(report, tmp_path)
    assert_alone(text)
    page = parse(text)
    assert not page.all("img") and not page.all("div", "remarks")
    ids = [node.attributes["id"] for node in page.all("section")]
    assert ids == ["results", "queries", "charts", "table", "settings"]
    assert [node.text for node in page.all("h3")][:2] == ["b", "a"]
    assert "1 right image and 0 junk; 0 of the right ones" in page.text
    rows = _cells(page.all("table", "results")[0])
    assert "(mAP@100)" in page.all("table", "results")[0].text
    assert rows[0][1:] == ["37.5 0.0 to 75.0", "50.0"]


def test_results_must_belong_together():
    before, after = _results(np.random.default_rng(0))
    for other, message in (
        (before, "--rerank"),
        (dataclasses.replace(after, index_names=INDEX[::-1]), "index_names"),
    ):
        with pytest.raises(InputError, match=message):
            revisited_queries(_truth(), before, other, SHORT_LIST)
