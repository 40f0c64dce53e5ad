"""Extraction by several workers: the files of one, whatever happens."""

import functools
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from extraction_inputs import (
    export_models,
    extraction_config,
    picture,
    save_config,
    save_image,
)

from delg_tf.common.errors import InputError
from delg_tf.extraction.extractor import Extractor
from delg_tf.extraction.image_list import images_in_folder
from delg_tf.extraction.run import extract_images
from delg_tf.features.storage.skipped import SKIPPED_FILE
from delg_tf.parallel.choice import local_runner, make_runner

ROOT = pathlib.Path(__file__).resolve().parent.parent
# One size each, so that batches are the same in all shards.
SIZES = [(60, 80), (99, 77), (120, 160), (64, 64), (80, 60), (90, 90)]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return export_models(folder, ["local_and_global"])


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for number, size in enumerate(SIZES * 4):
        save_image(folder / f"{number:02d}.png", picture(*size, top=number))
    (folder / "03b.jpg").write_bytes(b"no image")
    (folder / "21b.jpg").write_bytes(b"no image either")
    return folder


@pytest.fixture(scope="module")
def expected(models, images, tmp_path_factory):
    """Folder and content of the features, made in this process."""
    output = tmp_path_factory.mktemp("expected")
    _extract(models, images, output)
    return _contents(output)


_on_tensorflow = functools.partial(Extractor, runtime="tensorflow")


def _extract(models, images, output, load=_on_tensorflow, **options):
    config = extraction_config(models / "local_and_global")
    return extract_images(
        config, images_in_folder(images), output, load, **options
    )


def _contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("processes", marks=pytest.mark.slow),
        "Beam",
        pytest.param("Beam's processes", marks=pytest.mark.slow),
    ],
)
def test_all_runners_give_the_same_files(
    models, images, expected, tmp_path, monkeypatch, kind
):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    options = "--direct_running_mode=multi_processing --direct_num_workers=2"
    runner = {
        "processes": lambda: local_runner(2),
        "Beam": lambda: make_runner("DirectRunner", "", tmp_path, None),
        "Beam's processes": lambda: make_runner(
            "DirectRunner", options, tmp_path, None
        ),
    }[kind]()
    # Workers may have another working directory.
    monkeypatch.chdir(tmp_path)
    summary = _extract(
        models, images, "features", runner=runner, images_per_shard=5
    )
    assert (summary.extracted, summary.reused) == (24, 0)
    assert [name for name, _ in summary.skipped] == ["03b", "21b"]
    assert _contents(tmp_path / "features") == expected


def test_all_shards_of_a_process_share_a_model(
    models, images, expected, tmp_path
):
    loads = []

    def load(config):
        loads.append(config.model_path)
        return Extractor(config, "tensorflow")

    _extract(models, images, tmp_path, load, images_per_shard=10)
    assert loads == [str(models / "local_and_global")]
    assert _contents(tmp_path) == expected


@pytest.mark.slow
def test_a_worker_says_what_is_wrong_with_the_model(images, tmp_path):
    with pytest.raises(InputError, match=r"saved_model\.pb"):
        extract_images(
            extraction_config(tmp_path / "none"),
            images_in_folder(images),
            tmp_path / "features",
            runner=local_runner(2),
            images_per_shard=20,
        )


def _start_tool(config, images, output, *arguments):
    return subprocess.Popen(
        [
            sys.executable,
            ROOT / "tools/extract_features.py",
            f"--delf_config_path={config}",
            f"--images_dir={images}",
            f"--output_features_dir={output}",
            "--runtime=tensorflow",
            "--images_per_shard=4",
            *arguments,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def _when_half_done(process, output):
    deadline = time.monotonic() + 120
    while len(list(output.glob("*.delg_local"))) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)


def _children(process):
    text = pathlib.Path(f"/proc/{process}/task/{process}/children").read_text()
    commands = {
        int(child): pathlib.Path(f"/proc/{child}/cmdline").read_bytes()
        for child in text.split()
    }
    return [child for child, line in commands.items() if b"spawn_main" in line]


@pytest.mark.slow
@pytest.mark.skipif(not pathlib.Path("/proc").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("victim", ["the first process", "a worker"])
def test_killed_half_way_and_started_again(
    models, images, expected, tmp_path, victim
):
    config = extraction_config(models / "local_and_global")
    path, output = save_config(tmp_path, config), tmp_path / "features"
    first = _start_tool(path, images, output, "--num_workers=2")
    _when_half_done(first, output)
    workers = _children(first.pid)
    if victim == "a worker":
        os.kill(workers[0], signal.SIGKILL)
        _, messages = first.communicate(timeout=120)
        assert first.returncode == 1
        assert "error: One of 2 worker processes was lost" in messages
        assert "Traceback" not in messages
    else:
        first.kill()
        first.communicate(timeout=120)
    deadline = time.monotonic() + 60
    while any(pathlib.Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "workers outlive the run"
        time.sleep(0.05)
    before = {file: file.stat().st_mtime_ns for file in _whole(output)}
    assert 0 < len(before) < 24
    second = _start_tool(path, images, output)
    printed, messages = second.communicate(timeout=300)
    assert second.returncode == 0, messages
    assert f"{24 - len(before)} images extracted" in printed
    assert f"{len(before)} were there, 2 skipped" in printed
    assert all(f.stat().st_mtime_ns == time for f, time in before.items())
    found = _contents(output)
    assert {n: found[n] for n in found if "partial" not in n} == expected
    assert SKIPPED_FILE in found


def _whole(output):
    """The local files of images that have both."""
    return [
        path
        for path in output.glob("*.delg_local")
        if path.with_suffix(".delg_global").exists()
    ]
