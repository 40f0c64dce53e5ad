"""Crashes of an index's writer, at every step and at random moments."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from feature_files import unit_features
from tool_process import ROOT, last_line

from delg_tf.retrieval.index.batches import ImageBatch
from delg_tf.retrieval.index.choice import create_index, open_writer
from delg_tf.retrieval.index.settings import IndexSettings


def _run(script, *arguments):
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(last_line(done.stdout))


def test_a_writer_that_dies_at_any_step_leaves_a_known_state(tmp_path):
    done = _run("tests/index_crash_points.py", tmp_path)
    assert done["problems"] == []
    assert done["steps"] > 100


def test_a_killed_writer_leaves_a_known_state():
    done = _run("experiments/benchmarks/crash.py", "--kills=3", "--json")
    assert done == {"kills": 3, "bad": 0}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float32", "float16", "int8", "hnsw"])
def test_a_hundred_kills(kind):
    done = _run("experiments/benchmarks/crash.py", f"--kind={kind}", "--json")
    assert done == {"kills": 100, "bad": 0}


def test_a_manifest_never_names_what_is_not_on_the_disk(tmp_path, monkeypatch):
    """So that an index outlives a loss of power, which no process can play."""
    place = tmp_path / "index"
    create_index(place, IndexSettings(4, local_format="binary"))
    synced, checked = set(), []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor):
        synced.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    def watched_replace(source, target):
        if pathlib.Path(target) == place / "manifest.json":
            content = json.loads(pathlib.Path(source).read_text())
            files = [
                file["path"]
                for segment in content["segments"]
                for file in [*segment["files"], segment["metadata"]]
                if file
            ]
            files += [content["deleted"]["path"]] if content["deleted"] else []
            for path in [place / file for file in files]:
                inside = path.relative_to(place).parents
                for part in [path, *(place / parent for parent in inside)]:
                    assert str(part) in synced, f"{part} is not on the disk"
            assert str(source) in synced
            checked.append(len(files))
            synced.discard(str(place))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    local = [unit_features(3, 16) for _ in range(2)]
    rows = np.eye(4, dtype=np.float32)
    with open_writer(place) as writer:
        writer.add(ImageBatch(["a", "b"], rows[:2], local, {"x": [1, 2]}))
        writer.commit()
        assert str(place) in synced
        writer.remove(["a"])
        writer.add(ImageBatch(["c", "d"], rows[2:], local, {"y": [1, 2]}))
        writer.commit()
        writer.set_metadata(["b"], {"y": [3]})
        writer.compact()
        assert str(place) in synced
    assert len(checked) == 4 and min(checked) > 3
