"""The flags of ranking and recognition, through the tools."""

import json

import numpy as np
import pytest
from tool_process import run_tool

from delg_tf.data.revisited import (
    RevisitedGroundTruth,
    RevisitedQuery,
    save_ground_truth,
)
from delg_tf.features import feature_io
from delg_tf.retrieval.results import SearchResults


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A query at 0 degrees; images joined to it one by one, and others.

    i0 to i3 are at 10, 20, 30, 40 degrees, i4 and i5 at -37 and -38: nearer
    than i3, but neighbours of each other alone.
    """
    folder = tmp_path_factory.mktemp("data")
    degrees = {"query/q0": 0}
    for number, angle in enumerate((10, 20, 30, 40, -37, -38)):
        degrees[f"index/i{number}"] = angle
    for name, angle in degrees.items():
        descriptor = np.array(
            [np.cos(np.radians(angle)), np.sin(np.radians(angle))]
        )
        feature_io.write_global_descriptor(
            folder / f"{name}.delg_global", descriptor
        )
    names = tuple(f"i{n}" for n in range(6))
    none = np.zeros(0, np.int64)
    save_ground_truth(
        RevisitedGroundTruth(
            ("q0",), names, (RevisitedQuery(np.array([3]), none, none),)
        ),
        folder / "gnd.mat",
    )
    (folder / "labels.csv").write_text(
        "id,label\ni0,chain\ni1,chain\ni2,chain\ni4,group\n"
    )
    done = run_tool(
        "tools/build_index.py",
        f"--features_dir={folder / 'index'}",
        f"--index_dir={folder / 'built'}",
    )
    assert done.returncode == 0, done.stderr
    return folder


def _run(tool, data, *arguments):
    flags = [f"--query_features_dir={data / 'query'}", *arguments]
    if tool == "evaluate_retrieval":
        flags.append(f"--dataset_file_path={data / 'gnd.mat'}")
    else:
        flags.append(f"--index_dir={data / 'built'}")
    return run_tool(f"tools/{tool}.py", *flags)


_DIFFUSION = (
    "--diffusion",
    "--diffusion_neighbours=2",
    "--diffusion_query_neighbours=2",
)


def test_search_and_evaluate_by_diffusion(data, tmp_path):
    output, csv = tmp_path / "results.npz", tmp_path / "results.csv"
    done = _run(
        "search_features",
        data,
        *_DIFFUSION,
        f"--output={output}",
        f"--output_csv={csv}",
    )
    assert done.returncode == 0, done.stderr
    # By cosine alone i3 would be last.
    header, line = csv.read_text().splitlines()
    images = line.removeprefix("q0,").split()
    assert header == "id,images"
    assert set(images[:3]) == {"i0", "i1", "i2"}
    assert images[3:] == ["i3", "i4", "i5"]
    assert SearchResults.load(output).ranked_by == "diffusion, from cosine"
    done = _run(
        "evaluate_retrieval",
        data,
        *_DIFFUSION,
        f"--index_features_dir={data / 'index'}",
        f"--output_dir={tmp_path / 'metrics'}",
        "--precision_ranks=1",
    )
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "metrics/metrics.json").read_text())
    # The right one is fourth: (0 + 1/4) / 2.
    assert content["metrics"]["medium"]["mAP"] == pytest.approx(12.5)
    assert content["details"]["ranking"]["diffusion"]["neighbours"] == 2


def test_recognise_landmarks(data, tmp_path):
    output = tmp_path / "prediction.csv"
    done = _run(
        "recognise_landmarks",
        data,
        f"--labels_file={data / 'labels.csv'}",
        f"--output={output}",
        "--query_expansion=alpha",
        "--query_expansion_images=1",
        "--query_expansion_alpha=0",
        "--num_votes=3",
    )
    assert done.returncode == 0, done.stderr
    assert "1 queries recognised" in done.stdout
    # The query moves to 5 degrees.
    confidence = np.cos(np.radians([5, 15, 25])).sum()
    header, line = output.read_text().splitlines()
    assert header == "id,landmarks"
    name, _, value = line.partition(" ")
    assert name == "q0,chain"
    assert float(value) == pytest.approx(confidence, abs=1e-6)


@pytest.mark.parametrize(
    ("tool", "arguments", "text"),
    [
        (
            "search_features",
            ["--diffusion", "--k_reciprocal"],
            "error: --diffusion and --k_reciprocal both",
        ),
        (
            "search_features",
            ["--query_expansion=average", "--query_expansion_min_inliers=9"],
            "min_inliers needs geometric re-ranking",
        ),
        (
            "search_features",
            ["--query_expansion_min_inliers=9"],
            "needs --query_expansion=average or alpha",
        ),
        ("search_features", ["--output_csv={d}/labels.csv"], "exists already"),
        (
            "evaluate_retrieval",
            ["--query_features_dir=", "--search_results=x", "--k_reciprocal"],
            "--k_reciprocal need feature folders",
        ),
        (
            "recognise_landmarks",
            ["--labels_file={d}/gnd.mat"],
            "gnd.mat",
        ),
    ],
)
def test_contradictions_are_refused(data, tmp_path, tool, arguments, text):
    output = "output_dir" if tool == "evaluate_retrieval" else "output"
    filled = [argument.format(d=data) for argument in arguments]
    done = _run(tool, data, f"--{output}={tmp_path / 'out'}", *filled)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert text in done.stderr
    assert not (tmp_path / "out").exists()
