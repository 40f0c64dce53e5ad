"""Choosing settings of matching on validation data."""

import dataclasses
import json

import numpy as np
import pytest
from feature_files import unit_features
from tool_process import run_tool

from delg_tf.common.errors import InputError
from delg_tf.data.revisited import (
    RevisitedGroundTruth,
    RevisitedQuery,
    save_ground_truth,
)
from delg_tf.evaluation.tuning import TuningGrid, tune
from delg_tf.features import feature_io
from delg_tf.matching.config import MatchingConfig

GRID = TuningGrid((0.6, 0.8, 1.0), (0.8, 0.9), (False, True), (5.0, 20.0))


class _Bowl:
    """Best at a known setting; every call is counted."""

    def __init__(self):
        self.calls = []

    def __call__(self, config):
        self.calls.append(config)
        value = 50 - abs(config.residual_threshold - 5)
        value += 9 * config.mutual
        value -= 30 * abs((config.descriptor_distance or 2) - 0.8)
        assert config.binary_distance == config.descriptor_distance
        assert config.iterations == 77
        return {"easy": 99.0 - value, "medium": value, "hard": np.nan}


@pytest.mark.parametrize(("search", "calls"), [("grid", 20), ("stages", 11)])
def test_the_best_is_found_and_nothing_tried_twice(tmp_path, search, calls):
    record, score = tmp_path / "trials.json", _Bowl()
    base = MatchingConfig(iterations=77)
    trials = tune(score, GRID, base, search=search, record=record)
    best = trials[0].config
    assert len(score.calls) == len(trials) == calls
    assert len(set(map(repr, score.calls))) == calls
    assert (best.descriptor_distance, best.mutual) == (0.8, True)
    assert best.residual_threshold == 5 and best.ratio_test is None
    means = [trial.mean(["medium", "hard"]) for trial in trials]
    assert means == sorted(means, reverse=True) and means[0] == 59
    # The other way round.
    easy = tune(score, GRID, base, ["easy"], search, record)
    assert easy[0].config.ratio_test is not None
    # A run that was cut off goes on.
    content = json.loads(record.read_text())
    for name in list(content["trials"])[4:]:
        del content["trials"][name]
    record.write_text(json.dumps(content))
    again = _Bowl()
    found = tune(again, GRID, base, search=search, record=record)
    assert [t.config for t in found] == [t.config for t in trials]
    assert [t.scores["medium"] for t in found] == [
        t.scores["medium"] for t in trials
    ]
    assert len(again.calls) == calls - 4
    other = dataclasses.replace(base, iterations=78)
    with pytest.raises(InputError, match="other features or settings"):
        tune(again, GRID, other, search=search, record=record)


def _write(folder, name, angle, seed):
    vector = np.array([np.cos(angle), np.sin(angle)])
    feature_io.write_global_descriptor(
        folder / "global" / f"{name}.delg_global", vector
    )
    features = unit_features(40, 32, seed=seed)
    (folder / "local").joinpath(name).parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "local" / f"{name}.npz",
        keypoints=features.locations[:, ::-1],
        descriptors=features.descriptors,
        scores=features.attention,
    )


def test_tools_tune_and_evaluate_with_features_of_another_place(tmp_path):
    # The last in the global order, i3, has the query's local features.
    for number in range(4):
        seed = 9 if number == 3 else number
        _write(tmp_path, f"index/i{number}", 0.1 * number, seed)
    _write(tmp_path, "query/q0", 0.0, 9)
    ids = [np.array(n, np.int64) for n in ([], [3], [])]
    names = tuple(f"i{n}" for n in range(4))
    truth = RevisitedGroundTruth(("q0",), names, (RevisitedQuery(*ids),))
    save_ground_truth(truth, tmp_path / "gnd.pkl")
    places = [
        f"--dataset_file_path={tmp_path / 'gnd.pkl'}",
        *(
            f"--{name}{kind}_features_dir={tmp_path / place / name}"
            for name in ("query", "index")
            for kind, place in (("", "global"), ("_local", "local"))
        ),
    ]
    output = tmp_path / "tuning"
    done = run_tool(
        "tools/tune_matching.py",
        *places,
        f"--output_dir={output}",
        "--distances=0.0001,0.5",
        "--ratios=",
        "--mutual=true",
        "--residuals=3,20",
        "--ransac_iterations=55",
    )
    assert done.returncode == 0, done.stderr
    lines = (output / "tuning.csv").read_text().splitlines()
    assert lines[0] == "flags,easy,medium,hard,mean" and len(lines) == 4
    done = run_tool(
        "tools/evaluate_retrieval.py",
        *places,
        "--use_geometric_verification",
        "--precision_ranks=1",
        f"--flagfile={output / 'best.flags'}",
        f"--output_dir={tmp_path / 'metrics'}",
    )
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "metrics" / "metrics.json").read_text())
    assert content["metrics"]["hard"]["mAP"] < 50
    assert content["metrics"]["hard_after_gv"]["mAP"] == 100
    matching = content["details"]["reranking"]["matching"]
    wanted = {"mutual": True, "iterations": 55, "ratio_test": None}
    assert matching.items() >= wanted.items()
    assert f"{matching['descriptor_distance']:g}" in lines[1]
