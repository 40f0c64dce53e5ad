import json
import pathlib

import numpy as np
import pytest
from tool_process import run_tool

from delg_tf.data.revisited import (
    RevisitedGroundTruth,
    RevisitedQuery,
    save_ground_truth,
)
from delg_tf.evaluation.metrics_file import read_metrics_text
from delg_tf.features import feature_io
from delg_tf.features.local_features import LocalFeatures
from delg_tf.retrieval.results import SearchResults

ROOT = pathlib.Path(__file__).resolve().parent.parent


def _run(tool, *arguments):
    return run_tool(f"tools/{tool}.py", *arguments)


def _succeed(tool, *arguments):
    done = _run(tool, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _local(seed):
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(30, 64))
    return LocalFeatures(
        locations=rng.uniform(0, 300, (30, 2)),
        descriptors=descriptors
        / np.linalg.norm(descriptors, axis=1, keepdims=True),
        scales=np.ones(30),
        attention=np.ones(30),
        orientations=np.zeros(30),
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """One query; the global order is i0 to i4, i3 and i4 show it (30, 30).

    i3 is hard, i4 is easy, i0 is junk.
    """
    folder = tmp_path_factory.mktemp("data")
    angles = {"query/q0": 0.0} | {f"index/i{n}": 0.1 * n for n in range(5)}
    for seed, (name, angle) in enumerate(angles.items()):
        same = name in ("index/i3", "index/i4")
        feature_io.write_global_descriptor(
            folder / f"{name}.delg_global",
            np.array([np.cos(angle), np.sin(angle)]),
        )
        feature_io.write_local_features(
            folder / f"{name}.delg_local", _local(0 if same else seed)
        )
    ids = [np.array([n], np.int64) for n in (4, 3, 0)]
    names = tuple(f"i{n}" for n in range(5))
    save_ground_truth(
        RevisitedGroundTruth(("q0",), names, (RevisitedQuery(*ids),)),
        folder / "gnd.mat",
    )
    output = _succeed(
        "build_index",
        f"--features_dir={folder / 'index'}",
        f"--index_dir={folder / 'built'}",
    )
    assert "5 images, descriptors of 2 numbers" in output
    return folder


def _search_flags(data, output):
    return [
        f"--index_dir={data / 'built'}",
        f"--query_features_dir={data / 'query'}",
        f"--output={output}",
    ]


# By hand, mAP in percent. Before: Easy finds i4 in i1 i2 i4 (junk i0 and i3
# out) at rank 2: (0 + 1/3) / 2; Medium i3, i4 in i1 i2 i3 i4; Hard like Easy.
_BEFORE = {
    "easy": 100 / 6,
    "medium": 100 * ((0 + 1 / 3) + (1 / 3 + 2 / 4)) / 4,
    "hard": 100 / 6,
}


def test_index_search_evaluate(data, tmp_path):
    results = tmp_path / "results.npz"
    printed = _succeed(
        "search_features",
        *_search_flags(data, results),
        "--rerank",
        "--query_names=q0",
        "--print_top=2",
    )
    table = [line.split("|") for line in printed.splitlines()[:4]]
    assert [cell.strip() for cell in table[2][1:-1]] == [
        "q0", "1", "i3", f"{np.cos(0.3):.4f}", "30",
    ]  # fmt: skip
    assert table[3][3].strip() == "i4" and len(table[3]) == 7
    assert SearchResults.load(results).ranks.tolist() == [[3, 4, 0, 1, 2]]
    printed = _succeed(
        "evaluate_retrieval",
        f"--dataset_file_path={data / 'gnd.mat'}",
        f"--search_results={results}",
        f"--output_dir={tmp_path / 'metrics'}",
        "--precision_ranks=1,5",
    )
    assert "| medium   | re-ranked | 100.00 |" in printed
    text = read_metrics_text(tmp_path / "metrics" / "metrics.txt")
    for protocol, value in _BEFORE.items():
        assert text[protocol]["mAP"] == pytest.approx(value, abs=0.005)
        assert text[f"{protocol}_after_gv"]["mAP"] == 100
    content = json.loads((tmp_path / "metrics/metrics.json").read_text())
    assert content["metrics"]["hard"]["mP@k"] == pytest.approx(
        {"1": 0, "5": 100 / 3}
    )
    # From the feature files, in one step, it is the same.
    _succeed(
        "evaluate_retrieval",
        f"--dataset_file_path={data / 'gnd.mat'}",
        f"--query_features_dir={data / 'query'}",
        f"--index_features_dir={data / 'index'}",
        "--use_geometric_verification",
        f"--output_dir={tmp_path / 'direct'}",
        "--precision_ranks=1,5",
    )
    assert read_metrics_text(tmp_path / "direct/metrics.txt") == text
    direct = json.loads((tmp_path / "direct/metrics.json").read_text())
    assert direct["metrics"] == content["metrics"]
    assert direct["details"]["reranking"]["matching"]["seed"] == 0
    _check_records(data, content, direct)


def _check_records(data, by_results, by_features):
    """What is known is in the record, and nothing else."""
    for record in (by_results, by_features):
        assert record["query_names"] == ["q0"]
        assert record["image_lists"]["index"]["count"] == 5
        assert record["files"]["ground_truth"] == str(data / "gnd.mat")
        assert record["queries_cropped"] is record["model"] is None
        # With one query there is nothing to draw from.
        interval = record["metrics"]["hard"]["intervals"]["mAP"]
        assert interval["low"] == interval["high"] == pytest.approx(100 / 6)
        assert record["metrics"]["hard"]["per_query_p@k"]["5"] == pytest.approx(
            [100 / 3]
        )
    verified = by_features["verification"]
    assert (verified["backend"], verified["iterations"]) == ("numba", 1000)
    assert set(by_results["verification"].values()) == {None}


def test_short_list_lengths_and_junk(data, tmp_path):
    # The short list i0 i1 i2 i3 has no room for i4; without junk it has.
    means = {}
    for drop in ("false", "true"):
        _succeed(
            "evaluate_retrieval",
            f"--dataset_file_path={data / 'gnd.mat'}",
            f"--query_features_dir={data / 'query'}",
            f"--index_features_dir={data / 'index'}",
            "--use_geometric_verification",
            "--num_to_rerank=4",
            f"--drop_junk={drop}",
            f"--output_dir={tmp_path / drop}",
            "--precision_ranks=1",
        )
        text = read_metrics_text(tmp_path / drop / "metrics.txt")
        means[drop] = text["medium_after_gv"]["mAP"]
    # i3 first, then i1 i2 i4: ranks 0 and 3.
    expected = 100 * ((1 + 1) + (1 / 3 + 2 / 4)) / 4
    assert means["false"] == pytest.approx(expected, abs=0.005)
    assert means["true"] == 100


def _assert_refused(done, *texts):
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for text in texts:
        assert text in done.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--features_dir={d}/none", "--index_dir={t}/x"], "none does not"),
        (["--features_dir={t}", "--index_dir={t}/x"], "has no *.delg_global"),
        (["--features_dir={d}/index", "--index_dir={d}/built"], "--overwrite"),
        (
            [
                "--features_dir={d}/query",
                "--index_dir={t}/x",
                "--dataset_file_path={d}/gnd.mat",
            ],
            "error: 5 files *.delg_global missing",
        ),
        (["--features_dir={d}/index"], "--index_dir must have a value"),
    ],
)
def test_build_index_refuses(data, tmp_path, arguments, text):
    filled = [a.format(d=data, t=tmp_path) for a in arguments]
    _assert_refused(_run("build_index", *filled), text)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--index_dir={d}/query"], "manifest.json does not exist"),
        (["--query_names=q0,none"], "missing in"),
        (["--query_names=q0,q0"], "error: The list of queries has q0 2 times"),
        (["--query_names=q0", "--query_names_file={d}/x"], "only one of"),
        (["--num_results=6"], "error: 6 results are asked for"),
        (["--ransac_iterations=0", "--rerank"], "iterations must be"),
        (
            ["--use_ratio_test", "--local_descriptor_matching_threshold=1.5"],
            "error: --local_descriptor_matching_threshold must be",
        ),
        (["--rerank", "--index_features_dir={d}/query"], "*.delg_local miss"),
        (["--output={d}/gnd.mat"], "gnd.mat exists already"),
    ],
)
def test_search_refuses(data, tmp_path, arguments, text):
    output = tmp_path / "results.npz"
    filled = [a.format(d=data, t=tmp_path) for a in arguments]
    done = _run("search_features", *_search_flags(data, output), *filled)
    _assert_refused(done, text)
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "error: Pass --search_results, or"),
        (["--query_features_dir={d}/query"], "error: Pass both"),
        (["--search_results={d}/gnd.mat"], "gnd.mat is no readable .npz"),
        (
            ["--search_results={d}/x", "--use_geometric_verification"],
            "needs feature folders",
        ),
        (["--search_results={d}/x", "--drop_junk"], "--drop_junk needs"),
        (["--search_results={d}/x", "--precision_ranks=0"], "above 0"),
        (
            [
                "--query_features_dir={d}/query",
                "--index_features_dir={d}/index",
            ],
            "error: Precision at 10 is asked for",
        ),
        (
            ["--search_results={d}/x", "--dataset_file_path={d}/none.mat"],
            "none.mat does not exist",
        ),
    ],
)
def test_evaluate_retrieval_refuses(data, tmp_path, arguments, text):
    filled = [a.format(d=data) for a in arguments]
    done = _run(
        "evaluate_retrieval",
        f"--dataset_file_path={data / 'gnd.mat'}",
        f"--output_dir={tmp_path / 'out'}",
        *filled,
    )
    _assert_refused(done, text)
    assert not (tmp_path / "out").exists()
