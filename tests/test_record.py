"""Results with all that they depend on: `metrics.json`."""

import hashlib
import json
import math
import subprocess

import numpy as np
import pytest

from delg_tf.common.errors import InputError
from delg_tf.evaluation import provenance
from delg_tf.evaluation.record import RunRecord, read_record, write_record

NAN = float("nan")


def _record(**changes):
    metrics = {
        "hard": {
            "mAP": 50.0,
            "mP@k": {1: 100.0, 10: 20.0},
            "mR@k": {1: 10.0, 10: 20.0},
            "per_query_ap": np.array([NAN, 50.0]),
            "per_query_p@k": {1: [NAN, 100.0], 10: [NAN, 20.0]},
            "intervals": {"mAP": {"low": 40.0, "high": 60.0, "level": 0.95}},
        }
    }
    return RunRecord(metrics=metrics, query_names=["b", "a"], **changes)


def test_a_record_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "metrics.json"
    written = _record(
        dataset="roxford5k",
        queries_cropped=True,
        image_scales=(0.5, 1.0),
        versions=provenance.library_versions(),
        machine=provenance.machine(),
    )
    write_record(path, written)
    content = json.loads(path.read_text())
    assert content["format_version"] == 2
    assert content["metrics"]["hard"]["per_query_ap"] == [None, 50]
    # What is not known is said to be so.
    assert content["class_list"] is None and "model" in content
    read = read_record(path)
    assert read.metrics["hard"]["mP@k"] == {1: 100, 10: 20}
    assert math.isnan(read.metrics["hard"]["per_query_p@k"][10][0])
    assert read.metrics["hard"]["intervals"]["mAP"]["low"] == 40
    assert (read.dataset, read.queries_cropped) == ("roxford5k", True)
    assert read.image_scales == [0.5, 1] and read.query_names == ["b", "a"]
    assert read.versions == written.versions and read.machine["cores"] > 0
    # Files of before there were records.
    old = {"metrics": content["metrics"], "details": {"seed": 1}}
    path.write_text(json.dumps(old))
    read = read_record(path)
    assert read.details == {"seed": 1} and read.queries_cropped is None
    with pytest.raises(InputError, match="exists already"):
        write_record(path, written)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": [1]}, "holds no metrics by protocol"),
        ({"metrics": {"average_precision": 3}}, "holds no metrics by protocol"),
        ({"metrics": {"hard": {"mAP": "high"}}}, "metrics.hard.mAP: 'high'"),
        ({"format_version": 3}, "format version 3; this delg-tf reads up to 2"),
        ({"format_version": "2"}, "format_version is '2'"),
        ({"queries_cropped": "yes"}, "queries_cropped must be of type bool"),
        ({"query_names": ["a"]}, "damaged: .*1 queries.*2 of hard.per_query"),
    ],
)
def test_damaged_records(tmp_path, change, message):
    path = tmp_path / "metrics.json"
    write_record(path, _record())
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        read_record(path)
    path.write_text("[]")
    with pytest.raises(InputError, match="holds no metrics"):
        read_record(path)


def test_hashes_are_those_of_sha256sum(tmp_path):
    names = ["b", "a", "ä"]
    text = "".join(f"{name}\n" for name in names).encode()
    expected = hashlib.sha256(text).hexdigest()
    assert provenance.hash_of_names(names) == expected
    assert provenance.hash_of_names(sorted(names)) != expected
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"weights")
    command = "find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"
    by_shell = subprocess.run(
        command, shell=True, cwd=folder, capture_output=True, text=True
    )
    found = provenance.hash_of_folder(folder)
    assert found == by_shell.stdout.split()[0]
    folder.rename(tmp_path / "moved")
    assert provenance.hash_of_folder(tmp_path / "moved") == found
    (tmp_path / "moved" / "saved_model.pb").write_bytes(b"grape")
    assert provenance.hash_of_folder(tmp_path / "moved") != found
    with pytest.raises(InputError, match="does not exist"):
        provenance.hash_of_folder(folder)
