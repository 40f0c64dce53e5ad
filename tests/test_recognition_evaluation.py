"""Recognition measured: of given predictions, and from images on."""

import csv
import json
import shutil

import numpy as np
import pytest
from extraction_inputs import (
    extraction_config,
    picture,
    save_image,
)
from html_tree import assert_alone, parse
from tool_process import last_line, run_tool

from delg_tf.common.errors import InputError
from delg_tf.evaluation.record import read_record
from delg_tf.extraction.detectors.config import DetectorConfig
from delg_tf.extraction.detectors.extractor import DetectorExtractor
from delg_tf.extraction.image_extractor import ImageFeatures
from delg_tf.protocols import recognition_data, recognition_index
from delg_tf.protocols.extraction_settings import ExtractionSettings
from delg_tf.protocols.feature_cache import FeatureCache
from delg_tf.protocols.recognition import evaluate_recognition
from delg_tf.protocols.recognition_run import RecognitionOptions
from delg_tf.protocols.recognition_scores import score_predictions
from delg_tf.retrieval.index.memory import MemoryIndex
from delg_tf.retrieval.recognition import short_lists
from delg_tf.retrieval.recognition.votes import RecognitionConfig
from delg_tf.retrieval.rerank import RerankConfig
from delg_tf.retrieval.vectors.options import VectorOptions

# Landmarks 5 and 12 are in the index; `q4` is ignored.
SOLUTION = """id,landmarks,Usage
q0aaa,5,Private
q1bbb,12 19,Public
q2ccc,,Private
q3ddd,19,Private
q4eee,,Ignored
"""


def _csv(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_given_predictions(tmp_path):
    solution = _csv(tmp_path / "solution.csv", SOLUTION)
    predictions = _csv(
        tmp_path / "predictions.csv",
        "id,landmarks\nq2ccc,5 0.9\nq0aaa,5 0.8\nq1bbb,12 0.5\nq4eee,1 9\n",
    )
    out = tmp_path / "out"
    flags = [f"--predictions={predictions}", f"--solution={solution}"]
    tool = "tools/evaluate_recognition.py"
    result = run_tool(tool, *flags, f"--output_dir={out}", "--bootstrap=50")
    assert result.returncode == 0, result.stderr
    record = read_record(out / "metrics.json")
    # Private, by hand: of two landmark images one is found, behind a
    # needless prediction: (1 / 2) / 2.
    assert record.metrics["private"]["GAP"] == pytest.approx(25)
    assert record.metrics["private"]["GAP_of_landmark_images"] == 50
    assert record.metrics["private"]["top1"] == 50
    assert record.metrics["public"]["GAP"] == 100
    assert record.details["counts"]["private"]["landmark_images"] == 2
    interval = record.metrics["private"]["intervals"]["GAP"]
    assert interval["low"] <= 25 <= interval["high"]
    assert "25.00" in result.stdout
    _csv(predictions, "id,landmarks\nq0aaa,5 nan\n")
    result = run_tool(tool, *flags)
    assert result.returncode == 1
    assert "predictions.csv, line 2" in last_line(result.stderr)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("predictions", "id,images\n", "line 1: no column 'landmarks'"),
        ("predictions", "id,landmarks\nq9,5 1\n", "line 2: id 'q9' is not in"),
        (
            "predictions",
            "id,landmarks\nq0aaa,5 1\nq0aaa,5 1\n",
            "line 3: id 'q0aaa' is repeated",
        ),
        ("predictions", "id,landmarks\nq0aaa,5 nan\n", "line 2: the score"),
        ("solution", "id,landmarks\nq0aaa,5\n", "line 1: no column 'Usage'"),
        ("solution", "id,landmarks,Usage\na,5,Test\n", "line 2: Usage must"),
    ],
)
def test_bad_tables_name_the_line(tmp_path, name, text, message):
    paths = {
        "predictions": _csv(tmp_path / "predictions.csv", "id,landmarks\n"),
        "solution": _csv(tmp_path / "solution.csv", SOLUTION),
    }
    paths[name].write_text(text)
    with pytest.raises(InputError, match=f"{name}.csv, {message}"):
        score_predictions(**paths)


@pytest.fixture
def gldv2(tmp_path):
    """Four labelled images in Google Landmarks' layout, and five queries."""
    folder = tmp_path / "data" / "gldv2"
    places = {
        "train": {"a0": (0, 0), "a1": (2, 2), "b0": (40, 170), "b1": (42, 172)},
        "test": {"q0aaa": (4, 0), "q1bbb": (44, 170), "q2ccc": (90, 60)},
    }
    places["test"] |= {"q3ddd": (60, 90), "q4eee": (0, 0)}
    names = {"a0": "a0aaa", "a1": "a1aaa", "b0": "b0bbb", "b1": "b1bbb"}
    for part, images in places.items():
        for short, (top, left) in images.items():
            name = names.get(short, short)
            path = folder.joinpath(part, *name[:3], f"{name}.jpg")
            save_image(path, picture(top=top, left=left), quality=95)
    _csv(
        folder / "train.csv",
        "id,url,landmark_id\na0aaa,,5\na1aaa,,5\nb0bbb,,12\nb1bbb,,12\n",
    )
    _csv(folder / "recognition_solution_v2.1.csv", SOLUTION)
    return folder


class GridAndSift(DetectorExtractor):
    """In place of a network: grey values on a grid, and SIFT."""

    def __init__(self, config):
        super().__init__(DetectorConfig("sift"))
        self._config = config

    def extract_batch(self, images):
        found = super().extract_batch(images)
        return [
            ImageFeatures(
                _grid(image.pixels)
                if self._config.use_global_features
                else None,
                one.local if self._config.use_local_features else None,
            )
            for image, one in zip(images, found)
        ]


def _grid(pixels):
    grey = pixels.mean(axis=2)[:120, :160].reshape(6, 20, 8, 20)
    values = grey.mean(axis=(1, 3)).ravel()
    values -= values.mean()
    return (values / np.linalg.norm(values)).astype(np.float32)


@pytest.fixture(params=["single file", "a file an image"])
def extraction(request, tmp_path, monkeypatch):
    """Extraction by `GridAndSift`; the model's folder is empty."""
    (tmp_path / "model").mkdir()
    monkeypatch.setattr(
        ExtractionSettings, "make_extractor", lambda self: GridAndSift
    )
    return ExtractionSettings(
        extraction_config(tmp_path / "model"),
        local_format="int8",
        global_format="float16",
        single_file=request.param == "single file",
    )


def _landmarks(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["id"]: row["landmarks"].split()[0] for row in rows}


def test_a_run_from_images_to_the_record(
    gldv2, extraction, tmp_path, monkeypatch
):
    # Parts of three images, so that there are two.
    monkeypatch.setattr(
        recognition_data.RecognitionDataSet.index_parts, "__defaults__", (3,)
    )
    options = RecognitionOptions(
        RecognitionConfig(num_votes=2), RerankConfig(num_to_rerank=3)
    )
    data = recognition_data.open_gldv2_recognition(gldv2)
    scores = evaluate_recognition(
        data, extraction, options, tmp_path / "cache", tmp_path / "out", 0
    )
    named = _landmarks(tmp_path / "out" / "predictions.csv")
    # Queries that are ignored are not asked for.
    assert set(named) == {"q0aaa", "q1bbb", "q2ccc", "q3ddd"}
    assert (named["q0aaa"], named["q1bbb"]) == ("5", "12")
    assert scores["public"].metrics.gap == 1
    assert scores["private"].metrics.num_correct == 1
    record = read_record(tmp_path / "out" / "metrics.json")
    assert record.protocol == "landmark_recognition"
    assert record.image_lists["index"]["count"] == 4
    assert record.queries_cropped is False
    assert record.verification["backend"] == "numba"
    page = (tmp_path / "out" / "report.html").read_text()
    assert_alone(page)
    lowest = parse(page).all("section")[-2]
    assert lowest.all("h2")[0].text == "Right, but with the lowest scores"
    assert "✓ right Said: 5 Shows: 5" in lowest.text
    assert page.count("data:image/jpeg") > 4
    for field, message in (
        ("use_local_features", "--rerank needs local features"),
        ("use_global_features", "extraction has no global features"),
    ):
        setattr(extraction.config, field, False)
        with pytest.raises(InputError, match=message):
            evaluate_recognition(
                data, extraction, options, tmp_path / "cache", tmp_path / "no"
            )
        setattr(extraction.config, field, True)
    # Everything is there: other votes extract nothing.
    monkeypatch.setattr(ExtractionSettings, "make_extractor", None)
    monkeypatch.setattr(FeatureCache, "_extract", None)
    options = RecognitionOptions(RecognitionConfig(num_votes=1))
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"predictions.csv exists already"):
        evaluate_recognition(data, extraction, options, tmp_path / "cache", out)
    evaluate_recognition(
        data, extraction, options, tmp_path / "cache", tmp_path / "other"
    )
    assert _landmarks(tmp_path / "other" / "predictions.csv")["q0aaa"] == "5"


def test_index_goes_on_part_by_part(gldv2, extraction, tmp_path, monkeypatch):
    monkeypatch.setattr(
        recognition_data.RecognitionDataSet.index_parts, "__defaults__", (3,)
    )
    extraction = extraction.without_local_features()
    data = recognition_data.open_gldv2_recognition(gldv2)
    add, made = recognition_index._add, []

    def fail_at_second(part, *arguments):
        made.append(part.name)
        if len(made) == 2:
            raise OSError("power cut")
        return add(part, *arguments)

    monkeypatch.setattr(recognition_index, "_add", fail_at_second)
    kind = VectorOptions("int8")
    arguments = (data, extraction, tmp_path / "cache", kind, False)
    with pytest.raises(OSError, match="power cut"):
        recognition_index.build_recognition_index(*arguments)
    built = recognition_index.build_recognition_index(*arguments)
    assert made == ["gldv2_index000", "gldv2_index001", "gldv2_index001"]
    state = json.loads((built.folder / "parts.json").read_text())
    assert [part["images"] for part in state["parts"].values()] == [3, 1]
    # Features that are not to be kept are gone.
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [
        built.folder.name
    ]


def test_missing_images_are_told(gldv2, tmp_path):
    shutil.rmtree(gldv2 / "train" / "a")
    with pytest.raises(InputError, match=r"2 of the 4 index images.*a0aaa"):
        recognition_data.open_gldv2_recognition(gldv2)
    data = recognition_data.open_gldv2_recognition(gldv2, allow_missing=True)
    assert data.missing == {"index": 2, "query": 0}
    assert [
        item.name for part in data.index_parts() for item in part.items
    ] == [
        "b0bbb",
        "b1bbb",
    ]
    (gldv2 / "train.csv").unlink()
    with pytest.raises(InputError, match=r"train.csv is missing. Download"):
        recognition_data.open_gldv2_recognition(gldv2, remedy="Download it.")
    labels = _csv(tmp_path / "own.csv", "id,label\nb0bbb,tower\n")
    with pytest.raises(InputError, match=r"own.csv: the label 'tower' is no"):
        recognition_data.open_labelled(
            "own", gldv2 / "train", labels, gldv2 / "test",
            gldv2 / "recognition_solution_v2.1.csv",
        )  # fmt: skip


def test_short_lists_go_on_and_refuse_others(tmp_path, monkeypatch):
    monkeypatch.setattr(short_lists, "_QUERIES_A_BLOCK", 2)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((9, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = MemoryIndex([f"i{n}" for n in range(6)], vectors[:6])
    names = ["q0", "q1", "q2"]
    asked = []

    class Store:
        directory = "queries"
        source = type("Source", (), {"model": ""})

        def global_descriptors(self, names):
            asked.extend(names)
            return vectors[[6 + int(name[1:]) for name in names]]

    def lists(depth):
        return short_lists.search_short_lists(
            tmp_path, index, Store(), names, depth
        )

    found = lists(4)
    cosines = vectors[6:] @ vectors[:6].T
    expected = np.argsort(-cosines, axis=1)[:, :4]
    np.testing.assert_array_equal(found.ranks, expected)
    assert found.images().tolist() == sorted(set(expected.ravel().tolist()))
    (tmp_path / "000000002.npz").unlink()
    asked.clear()
    np.testing.assert_array_equal(lists(4).ranks, expected)
    assert asked == ["q2"]
    results = found.results(["q2", "q0"], index.names, 2)
    np.testing.assert_array_equal(results.ranks, expected[[2, 0], :2])
    with pytest.raises(InputError, match=r"000000000.npz is of another search"):
        lists(5)
    (tmp_path / "000000000.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"000000000.npz is damaged"):
        lists(4)
    with pytest.raises(ValueError, match="`query_names`"):
        found.results(["q9"], index.names, 2)
