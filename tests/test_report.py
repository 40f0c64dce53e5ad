import dataclasses
import html.parser
import json
import re

import numpy as np
import pytest
from PIL import Image

from delg_tf.common.errors import InputError
from delg_tf.data.revisited import RevisitedGroundTruth, RevisitedQuery
from delg_tf.features import feature_io
from delg_tf.features.local_features import LocalFeatures
from delg_tf.matching.config import MatchingConfig
from delg_tf.report.report import ReportInputs, write_report
from delg_tf.retrieval.results import SearchResults

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
    images, run = tmp_path / "jpg", tmp_path / "run"
    images.mkdir()
    run.mkdir()
    for number, name in enumerate(QUERIES + INDEX):
        folder = tmp_path / ("index" if name in INDEX else "query")
        features = _features(rng, 30)
        feature_io.write_local_features(folder / f"{name}.delg_local", features)
        shape = (64, 48, 3) if number % 2 else (60, 90, 3)
        pixels = rng.integers(0, 255, shape, np.uint8)
        Image.fromarray(pixels).save(images / f"{name}.jpg")
    rows = [
        {"step": 1, "kind": "train", "global": 3.0, "learning_rate": 0.1},
        {"step": 2, "kind": "train", "global": 2.0, "learning_rate": 0.0},
        {"step": 2, "kind": "network", "sparsity/block1": 0.4},
    ]
    lines = [json.dumps(row) + "\n" for row in rows]
    (run / "history.jsonl").write_text("".join(lines))
    model = {"model": {"backbone": "tiny<net>"}, "training": {"seed": 17}}
    (run / "model.json").write_text(json.dumps(model))
    before, after = _results(rng)
    return ReportInputs(
        title="A <script>title</script> & more",
        metrics={
            "held_out": {
                "untrained": {"easy": 1.25, "medium": None},
                "global": {"easy": 33.3, "medium": 44.4, "hard": 55.5},
            },
            "seconds": {"odd<stage>": 61.0, "search": 2.0, "unknown": None},
            "seed": 4321,
            "data": {"classes": 7},
        },
        logdir=run,
        ground_truth=_truth(),
        images_dir=images,
        query_features_dir=tmp_path / "query",
        index_features_dir=tmp_path / "index",
        global_results=before,
        reranked_results=after,
        matching=MatchingConfig(residual_threshold=3.5),
        num_to_rerank=SHORT_LIST,
    )


class _Node:
    def __init__(self, tag, attributes):
        self.tag, self.attributes = tag, dict(attributes)
        self.children, self.pieces = [], []

    def all(self, tag, style=None):
        found = [node for child in self.children for node in child.all(tag)]
        if self.tag == tag:
            found.insert(0, self)
        return [
            node
            for node in found
            if style is None
            or style in node.attributes.get("class", "").split()
        ]

    @property
    def text(self):
        inner = " ".join(
            piece if isinstance(piece, str) else piece.text
            for piece in self.pieces
        )
        return " ".join(inner.split())


class _Parser(html.parser.HTMLParser):
    """Builds a tree, and fails on tags that do not fit together."""

    VOID = {"meta", "link", "img", "br"}

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.root = _Node("root", [])
        self.stack = [self.root]
        self.feed(text)
        assert self.stack == [self.root]

    def handle_starttag(self, tag, attrs, closed=False):
        node = _Node(tag, attrs)
        self.stack[-1].children.append(node)
        self.stack[-1].pieces.append(node)
        if tag not in self.VOID and not closed:
            self.stack.append(node)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs, closed=True)

    def handle_endtag(self, tag):
        assert self.stack.pop().tag == tag

    def handle_data(self, data):
        self.stack[-1].pieces.append(data)


def _written(inputs, tmp_path):
    path = tmp_path / "out" / "report.html"
    write_report(inputs, path)
    return path.read_text(encoding="utf-8")


def _every(node):
    return [node] + [n for child in node.children for n in _every(child)]


def test_page_needs_nothing_but_itself(inputs, tmp_path):
    text = _written(inputs, tmp_path)
    assert len(text) < 8e6
    nodes = _every(_Parser(text).root)
    ids = [n.attributes["id"] for n in nodes if "id" in n.attributes]
    assert len(ids) == len(set(ids))
    for node in nodes:
        assert node.tag not in ("script", "iframe", "object", "base")
        for key in ("src", "href", "srcset", "poster", "action"):
            link = node.attributes.get(key, "data:")
            assert link.startswith("data:") or link[1:] in ids, link
        if node.tag == "img":
            assert node.attributes["alt"]
        if node.tag == "svg":
            assert node.attributes["aria-label"]
    # Neither style sheets nor SVG point outside; namespaces are left out.
    without_pictures = re.sub(r"data:image/jpeg;base64,[\w+/=]+", "", text)
    assert "xlink" not in without_pictures
    assert "://" not in without_pictures and "@import" not in text
    for target in re.findall(r"url\(([^)]*)\)", without_pictures):
        assert target.startswith("#") and target[1:] in ids
    # Every stand-in for a colour has become a variable.
    assert "#0101" not in without_pictures
    assert set(re.findall(r"var\((--[\w-]+)\)", text)) <= set(
        re.findall(r"(--[\w-]+):", text)
    )
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
    strips = _strips(_Parser(_written(inputs, tmp_path)).root)
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
    strips = _strips(_Parser(_written(hard, tmp_path)).root)
    marks = {image: mark for image, mark, _ in strips["q0", "after"]}
    assert {name for name, _ in strips} == {"q0"}
    assert marks["i08"] == "right" and marks["i03"] == marks["i05"] == "junk"
    with pytest.raises(ValueError, match="protocol"):
        write_report(
            dataclasses.replace(inputs, protocol="all"), tmp_path / "x"
        )


def test_numbers_of_the_page(inputs, tmp_path):
    page = _Parser(_written(inputs, tmp_path)).root
    table = [
        [cell.text for cell in row.children]
        for row in page.all("table", "results")[0].all("tr")[1:]
    ]
    assert [row[1:] for row in table] == [
        ["1.2", "–", "–"],
        ["33.3", "44.4", "55.5"],
    ]
    times = page.all("table", "times")[0].text
    assert "1 min 01 s" in times and "1 min 03 s" in times
    # q0 without its junk: before, right images have the ranks 2, 3, 4 (from
    # 0): (0/2 + 1/3 + 1/3 + 2/4 + 2/4 + 3/5) / 6; after, the first three.
    q0 = page.all("article")[0].all("p", "ap")[0].text
    assert q0 == "AP 37.8 → after re-ranking 100.0 (+62.2)"
    # Verified: 6 for each query; of q0 3 right, 1 junk; of the odd one 1
    # right, 1 junk; q2 has none right, and image 2 is its junk.
    verified = inputs.global_results.ranks[2, :SHORT_LIST]
    wrong = 2 + 4 + np.sum(verified != 2)
    labels = page.all("section")[2].text
    assert "right (4)" in labels and f"wrong ({wrong})" in labels
    for text in ("4321", "data.classes 7", "residual_threshold 3.5", "17"):
        assert text in page.all("section")[-1].text
    headings = [node.text for node in page.all("h3")]
    assert {"Global loss", "Learning rate", "Sparsity"} <= set(headings)
    assert "Attention scores" not in headings


def test_report_without_metrics_and_training(inputs, tmp_path):
    bare = dataclasses.replace(inputs, metrics={}, logdir=None)
    page = _Parser(_written(bare, tmp_path)).root
    rows = page.all("table", "results")[0].all("tr")
    # The odd query has 100 everywhere; q0 (easy): right at 1 and 2 after
    # junk and hard images are out: (0/2 + 1/3 + 1/3 + 2/4) / 4 = 29.2.
    assert rows[1].all("td")[0].text == "64.6"
    assert rows[2].all("td")[0].text == "100.0"
    ids = [node.attributes["id"] for node in page.all("section")]
    assert ids == ["results", "queries", "pairs", "reproduce"]


def test_odd_names_are_text(inputs, tmp_path):
    text = _written(inputs, tmp_path)
    page = _Parser(text).root
    assert page.all("h1")[0].text == inputs.title
    assert ODD in [node.text for node in page.all("h3")]
    assert any(ODD in n.attributes["alt"] for n in page.all("img"))
    for markup in ("<script>title", "<b>&'", "<stage>", "<net>"):
        assert markup not in text


def test_missing_files_are_named(inputs, tmp_path):
    out = tmp_path / "report.html"
    store = tmp_path / "index" / "i03.delg_local"
    store.write_bytes(b"\xff")
    assert "0 inliers of 0 putative matches" in _written(inputs, tmp_path)
    content = (tmp_path / "index" / "i00.delg_local").read_bytes()
    store.unlink()
    with pytest.raises(InputError, match="i03"):
        write_report(inputs, out)
    store.write_bytes(content)
    (inputs.images_dir / "i07.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"i07\.jpg"):
        write_report(inputs, out)
    (inputs.images_dir / "i07.jpg").unlink()
    with pytest.raises(InputError, match=r"i07\.jpg"):
        write_report(inputs, out)
    with pytest.raises(InputError, match="no_images"):
        write_report(
            dataclasses.replace(inputs, images_dir=tmp_path / "no_images"), out
        )
    assert not out.exists()


def test_results_must_belong_together(inputs, tmp_path):
    for other, message in (
        (inputs.global_results, "--rerank"),
        (
            dataclasses.replace(
                inputs.reranked_results, index_names=INDEX[::-1]
            ),
            "index_names",
        ),
    ):
        changed = dataclasses.replace(inputs, reranked_results=other)
        with pytest.raises(InputError, match=message):
            write_report(changed, tmp_path / "report.html")
