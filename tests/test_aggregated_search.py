"""Search by aggregated features: the modules, and the command lines."""

import csv

import numpy as np
import pytest
from feature_files import unit_features
from PIL import Image
from tool_process import last_line, run_tool

from delg_tf.aggregation.folder import AggregatedFolder
from delg_tf.aggregation.similarity import similarity
from delg_tf.common.errors import InputError
from delg_tf.data.revisited import (
    RevisitedGroundTruth,
    RevisitedQuery,
    save_ground_truth,
)
from delg_tf.features.box_io import DetectedBoxes, write_boxes
from delg_tf.features.feature_io import (
    LocalFeatures,
    read_global_descriptor,
    write_local_features,
)
from delg_tf.retrieval.aggregated_search import (
    rerank_aggregated,
    search_aggregated,
)
from delg_tf.retrieval.results import SearchResults

PLACES = 4
CONFIG = """
codebook_size: 12 feature_dimensionality: 16 aggregation_type: {kind}
use_regional_aggregation: {regional}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two views of each of four places, which share most of their features."""
    folder = tmp_path_factory.mktemp("places")
    for number in range(PLACES):
        seen = unit_features(40, 16, seed=number, side=90)
        for view in range(2):
            rng = np.random.default_rng(10 * number + view)
            kept = rng.permutation(40)[:30]
            moved = seen.descriptors[kept] + rng.normal(size=(30, 16)) * 0.03
            local = LocalFeatures(
                locations=seen.locations[kept],
                descriptors=moved / np.linalg.norm(moved, axis=1)[:, None],
                scales=np.ones(30),
                attention=np.ones(30),
                orientations=np.zeros(30),
            )
            path = folder / "features" / f"{'qi'[view]}{number}.delg_local"
            write_local_features(path, local)
    write_local_features(
        folder / "features" / "empty.delg_local", LocalFeatures.empty()
    )
    (folder / "features" / "bad.delg_local").write_bytes(b"\xff" * 9)
    index = [*(f"i{n}" for n in range(PLACES)), "empty"]
    queries = [f"q{n}" for n in range(PLACES)]
    none = np.zeros(0, np.int64)
    labels = [RevisitedQuery(none, np.array([n]), none) for n in range(PLACES)]
    truth = RevisitedGroundTruth(queries, index, labels)
    save_ground_truth(truth, folder / "gnd.pkl")
    for kind in ("VLAD", "ASMK", "ASMK_STAR"):
        for regional in ("false", "true"):
            path = folder / f"{kind}_{regional}.pbtxt"
            path.write_text(CONFIG.format(kind=kind, regional=regional))
    done = run_tool(
        "tools/train_codebook.py",
        f"--features={folder / 'features'}",
        "--codebook_size=12",
        "--iterations=5",
        f"--output={folder / 'codebook.npz'}",
    )
    assert done.returncode == 0, done.stderr
    assert "12 words of 16 numbers, learnt from 240 of 240" in done.stdout
    assert "1 images skipped" in done.stdout
    return folder


def _aggregate(place, kind, output, *arguments, regional="false"):
    return run_tool(
        "tools/aggregate_features.py",
        f"--features={place / 'features'}",
        f"--aggregation_config_path={place / f'{kind}_{regional}.pbtxt'}",
        f"--codebook_path={place / 'codebook.npz'}",
        f"--output_dir={output}",
        *arguments,
    )


@pytest.mark.parametrize("kind", ["VLAD", "ASMK_STAR"])
def test_aggregated_evaluated_searched(place, tmp_path, kind):
    output = tmp_path / "out"
    done = _aggregate(place, kind, output)
    assert done.returncode == 0, done.stderr
    assert "9 images aggregated, 1 of them without" in done.stdout
    assert "0 were there, 1 skipped" in done.stdout
    with open(output / "skipped_images.csv") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["bad"]
    gnd = f"--dataset_file_path={place / 'gnd.pkl'}"
    done = run_tool(
        "tools/evaluate_retrieval.py",
        gnd,
        f"--query_aggregation_dir={output}",
        f"--index_aggregation_dir={output}",
        "--precision_ranks=1",
        f"--output_dir={tmp_path / 'evaluation'}",
    )
    assert done.returncode == 0, done.stderr
    assert "mAP=100.0" in (tmp_path / "evaluation/metrics.txt").read_text()
    folder = AggregatedFolder(output)
    names = [f"q{n}" for n in range(PLACES)]
    index_names = ["empty", *(f"i{n}" for n in range(PLACES))]
    results = search_aggregated(folder, folder, names, index_names)
    for row, name in enumerate(names):
        expected = [
            similarity(folder.read(name), folder.read(other), folder.config)
            for other in index_names
        ]
        np.testing.assert_array_equal(
            results.ranks[row], np.argsort(-np.array(expected), kind="stable")
        )
        np.testing.assert_allclose(
            results.similarities[row], np.sort(expected)[::-1], atol=1e-6
        )
    short = search_aggregated(folder, folder, names, index_names, 2)
    np.testing.assert_array_equal(short.ranks, results.ranks[:, :2])
    assert (results.similarities[:, -1] == -1).all() == (kind != "VLAD")


def test_goes_on_and_keeps_kinds_apart(place, tmp_path):
    output = tmp_path / "out"
    names = tmp_path / "names.txt"
    names.write_text("q0\nq1\n")
    assert "2 images aggregated" in (
        _aggregate(place, "ASMK", output, f"--names_file={names}").stdout
    )
    before = (output / "q0.asmk").stat().st_mtime_ns
    assert "7 images aggregated, 1 of them without features; 2 were there" in (
        _aggregate(place, "ASMK", output).stdout
    )
    assert (output / "q0.asmk").stat().st_mtime_ns == before
    done = _aggregate(place, "ASMK_STAR", output)
    assert done.returncode == 1
    assert "another configuration or codebook" in done.stderr
    done = _aggregate(place, "ASMK", output, regional="true")
    assert "--index_mapping_path or" in last_line(done.stderr) + done.stderr
    vlad = tmp_path / "vlad"
    _aggregate(place, "VLAD", vlad, "--vlad_as_global")
    assert read_global_descriptor(vlad / "q0.delg_global").shape == (192,)
    assert not read_global_descriptor(vlad / "empty.delg_global").size
    with pytest.raises(InputError, match="aggregation_type"):
        search_aggregated(AggregatedFolder(output), AggregatedFolder(vlad))


def test_reranks_a_global_search_and_uses_a_built_index(place, tmp_path):
    output, index = tmp_path / "out", tmp_path / "index"
    _aggregate(place, "ASMK_STAR", output)
    gnd = f"--dataset_file_path={place / 'gnd.pkl'}"
    done = run_tool(
        "tools/build_aggregated_index.py",
        f"--aggregation_dir={output}",
        f"--index_dir={index}",
        gnd,
    )
    assert f"{index}: 5 images" in done.stdout, done.stderr
    found = tmp_path / "found.npz"
    done = run_tool(
        "tools/search_aggregated.py",
        f"--query_aggregation_dir={output}",
        f"--index_dir={index}",
        gnd,
        "--rerank",
        f"--query_features_dir={place / 'features'}",
        f"--index_features_dir={place / 'features'}",
        f"--output={found}",
    )
    assert done.returncode == 0, done.stderr
    results = SearchResults.load(found)
    assert results.ranks[:, 0].tolist() == list(range(PLACES))
    assert results.inliers[:, 0].min() > 10
    # A global search that has everything the wrong way round.
    ranks = np.array([[4, *np.roll(range(4), -n - 1)] for n in range(4)])
    cosines = np.tile(np.linspace(0.9, 0.1, 5, dtype="f"), (4, 1))
    before = SearchResults(
        results.query_names, results.index_names, ranks, cosines
    )
    folder = AggregatedFolder(output)
    after = rerank_aggregated(before, folder, folder, 5)
    assert after.ranks[:, 0].tolist() == list(range(PLACES))
    assert (after.ranks[:, -1] == 4).all()
    # The right image is the last one, and out of the short list.
    after = rerank_aggregated(before, folder, folder, 4)
    np.testing.assert_array_equal(after.ranks[:, -1], range(PLACES))
    assert (np.diff(after.scores, axis=1) <= 0).all()
    before.save(tmp_path / "global.npz")
    done = run_tool(
        "tools/search_aggregated.py",
        f"--query_aggregation_dir={output}",
        f"--index_aggregation_dir={output}",
        f"--search_results={tmp_path / 'global.npz'}",
        "--num_to_aggregate=4",
        f"--output={tmp_path / 'reranked.npz'}",
    )
    assert done.returncode == 0, done.stderr
    again = SearchResults.load(tmp_path / "reranked.npz")
    np.testing.assert_array_equal(again.ranks, after.ranks)


def test_boxes_are_regions(place, tmp_path):
    images, boxes = tmp_path / "images", tmp_path / "boxes"
    images.mkdir()
    Image.new("RGB", (100, 90)).save(images / "q0.png")
    box = DetectedBoxes([[0, 0, 0.5, 0.5]], [0.4], [1])
    write_boxes(boxes / "q0.boxes", box)
    write_boxes(boxes / "q1.boxes", box)
    output = tmp_path / "out"
    done = _aggregate(
        place,
        "VLAD",
        output,
        f"--boxes_dir={boxes}",
        f"--images_dir={images}",
        regional="true",
    )
    # Without its picture the size of q1 is not known.
    assert "8 images aggregated" in done.stdout, done.stderr
    assert "has no image of q1" in (output / "skipped_images.csv").read_text()
    whole = tmp_path / "whole"
    _aggregate(place, "VLAD", whole)
    folders = AggregatedFolder(output), AggregatedFolder(whole)
    for name, same in (("q0", False), ("q2", True)):
        first, second = (folder.read(name).descriptors for folder in folders)
        assert np.allclose(first, second, atol=1e-5) == same
