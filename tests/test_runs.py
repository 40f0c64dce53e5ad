"""Runs from outside: signals, kills, several processes, first weights."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from tool_process import run_tool
from training_records import CLASSES, write_records

from delg_tf.training.trained_model import load_record, load_trained_model

ROOT = pathlib.Path(__file__).resolve().parents[1]
FLAGS = {
    "backbone": "resnet_small",
    "num_classes": CLASSES,
    "delg_embedding_layer_dim": 16,
    "image_size": 48,
    "batch_size": 8,
    "shuffle_buffer": 12,
    "initial_lr": 0.05,
    "report_interval": 5,
    "seed": 3,
}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_records(folder / "train-00000-of-00002", 0, 15)
    write_records(folder / "train-00001-of-00002", 15, 11)
    write_records(folder / "validation-00000-of-00001", 100, 9)
    return folder


def _command(logdir, records, **flags):
    values = FLAGS | flags
    return [
        sys.executable,
        "-m",
        "delg_tf.train",
        f"--logdir={logdir}",
        f"--train_file_pattern={records}/train-*",
        *[f"--{name}={value}" for name, value in values.items()],
    ]


def _start(logdir, records, environment=None, **flags):
    logdir.mkdir(parents=True, exist_ok=True)
    with open(logdir / "out.txt", "a") as out:
        return subprocess.Popen(
            _command(logdir, records, **flags),
            cwd=ROOT,
            env=os.environ
            | {"TF_CPP_MIN_LOG_LEVEL": "2"}
            | (environment or {}),
            stdout=out,
            stderr=out,
        )


def _finish(process, logdir, code=0):
    try:
        process.wait(timeout=240)
    finally:
        process.kill()
    assert process.returncode == code, (logdir / "out.txt").read_text()


def _run(logdir, records, **flags):
    _finish(_start(logdir, records, **flags), logdir)


def _weights(logdir):
    model, _ = load_trained_model(logdir)
    return [weight.numpy() for weight in model.weights]


def _steps(logdir):
    """Steps of the checkpoints that are complete."""
    folder = logdir / "delf_tf2-ckpt"
    return sorted(
        int(path.stem.split("-")[1]) for path in folder.glob("*.index")
    )


def _wait_for(condition, seconds=180):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def _assert_equal(one, other, atol=1e-6):
    for a, b in zip(_weights(one), _weights(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=atol)


def test_sigterm_saves_and_exits_with_zero(tmp_path, records):
    flags = {"max_iters": 40, "save_interval": 1000, "report_interval": 1}
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    process = _start(stopped, records, **flags)
    history = stopped / "history.jsonl"
    _wait_for(lambda: history.exists() and history.read_text().count("\n") > 4)
    process.send_signal(signal.SIGTERM)
    _finish(process, stopped)
    (step,) = _steps(stopped)
    assert 0 < step < 40
    assert not (stopped / "model.json").exists()
    _run(stopped, records, **flags)
    _run(whole, records, **flags)
    _assert_equal(stopped, whole, atol=1e-4)


@pytest.mark.slow
def test_kills_while_checkpoints_are_written_leave_no_damage(tmp_path, records):
    """Every step writes a checkpoint: most kills hit one being written."""
    flags = {"max_iters": 60, "save_interval": 1, "keep_checkpoints": 3}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    _run(whole, records, **flags)
    random = np.random.default_rng(0)
    folder = killed / "delf_tf2-ckpt"
    for _ in range(6):
        process = _start(killed, records, **flags)
        before = max(_steps(killed), default=0)
        if before >= 60:
            _finish(process, killed)
            break
        _wait_for(lambda before=before: max(_steps(killed), default=0) > before)
        time.sleep(random.uniform(0, 0.3))
        process.kill()
        process.wait()
        latest = tf.train.latest_checkpoint(str(folder))
        reader = tf.train.load_checkpoint(latest)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)  # Checksums are verified.
    _run(killed, records, **flags)
    _assert_equal(killed, whole, atol=1e-4)


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _start_workers(logdir, records, **flags):
    cluster = {"worker": [f"127.0.0.1:{port}" for port in _free_ports(2)]}
    processes = []
    for index in range(2):
        config = {
            "cluster": cluster,
            "task": {"type": "worker", "index": index},
        }
        # Workers share the folder; the test keeps their outputs apart.
        processes.append(
            _start(
                logdir,
                records,
                {"TF_CONFIG": json.dumps(config)},
                distribution="multi_worker",
                **flags,
            )
        )
    return processes


WORKERS = {
    "max_iters": 4,
    "eval_interval": 2,
    "save_interval": 2,
    "synchronized_bn": True,
    "image_size": 96,
}


def test_two_workers_equal_one(tmp_path, records):
    flags = WORKERS | {
        "validation_file_pattern": f"{records}/validation-*",
        "max_iters": 1,
    }
    one, two = tmp_path / "one", tmp_path / "two"
    _run(one, records, **flags)
    for process in _start_workers(two, records, **flags):
        _finish(process, two)
    assert _steps(two) == _steps(one) == [1]
    rows, expected = (
        [json.loads(line) for line in (logdir / "history.jsonl").open()]
        for logdir in (two, one)
    )
    kinds = ["train", "network", "validation"]
    assert [row["kind"] for row in rows] == kinds
    for key in ("total", "global", "reconstruction", "attention"):
        assert rows[0][key] == pytest.approx(expected[0][key], rel=1e-5)
    # The gradient is clipped, so the step is 0.05 * 10 long. Rounding may
    # turn a ReLU near zero, so single weights may differ.
    assert expected[0]["gradient_norm"] > 10
    difference = [a - b for a, b in zip(_weights(one), _weights(two))]
    length = np.sqrt(sum((d**2).sum() for d in difference))
    assert length < 0.01 * 0.05 * 10


@pytest.mark.slow
def test_a_lost_worker_ends_the_run_which_goes_on_later(tmp_path, records):
    flags = WORKERS | {"max_iters": 30, "save_interval": 5}
    whole, lost = tmp_path / "whole", tmp_path / "lost"
    for process in _start_workers(whole, records, **flags):
        _finish(process, whole)
    first, second = _start_workers(lost, records, **flags)
    _wait_for(lambda: max(_steps(lost), default=0) >= 10)
    second.kill()
    second.wait()
    _finish(first, lost, code=1)
    assert "A worker was lost" in (lost / "out.txt").read_text()
    assert not (lost / "model.json").exists()
    for process in _start_workers(lost, records, **flags):
        _finish(process, lost)
    assert "Resumed from" in (lost / "out.txt").read_text()
    _assert_equal(lost, whole, atol=1e-3)


# What a network has that starts from this one.
INHERITED = {
    "input_normalisation": "caffe",
    "stride_position": "first_unit_1x1",
    "stem": "official",
    "bn_epsilon": 1e-4,
    "gem_power": 4.0,
    "autoencoder_dim": 24,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, records):
    logdir = tmp_path_factory.mktemp("trained") / "run"
    flags = {
        {
            "gem_power": "delg_gem_power",
            "autoencoder_dim": "autoencoder_dimensions",
        }.get(name, name): value
        for name, value in INHERITED.items()
    }
    _run(logdir, records, max_iters=2, **flags)
    return logdir


def _first_kernel(logdir):
    model, _ = load_trained_model(logdir)
    return {weight.name: weight.numpy() for weight in model.weights}


@pytest.mark.parametrize("kind", ["logdir", "export"])
def test_other_classes_start_from_a_trained_network(
    tmp_path, records, trained, kind
):
    source = trained
    if kind == "export":
        source = tmp_path / "model"
        done = run_tool(
            "tools/export_model.py",
            f"--logdir={trained}",
            f"--export_path={source}",
        )
        assert done.returncode == 0, done.stderr
    logdir = tmp_path / "run"
    _run(
        logdir,
        records,
        max_iters=0,
        init_from=source,
        num_classes=CLASSES + 3,
        report_interval=1,
    )
    before, after = _first_kernel(trained), _first_kernel(logdir)
    assert before.keys() == after.keys()
    random = set()
    for name, value in before.items():
        if value.shape != after[name].shape or np.any(value != after[name]):
            random.add(name.split("/")[1])
    # An export has no decoder: nothing at inference needs it.
    expected = {"global_head", "local_head"}
    assert random - {"local_reduction"} == expected
    assert ("local_reduction" in random) == (kind == "export")
    config = load_record(logdir).model
    assert {name: getattr(config, name) for name in INHERITED} == INHERITED


def test_pretrained_weights_bring_their_settings(tmp_path, records):
    import tf_keras as keras

    path = tmp_path / "resnet50.h5"
    network = keras.applications.ResNet50(weights=None, include_top=False)
    network.save_weights(path)
    logdir = tmp_path / "run"
    _run(
        logdir,
        records,
        max_iters=0,
        backbone="resnet50",
        init_checkpoint=path,
        image_size=64,
        batch_size=2,
    )
    model, record = load_trained_model(logdir)
    assert record.model.input_normalisation == "caffe"
    assert record.model.stride_position == "first_unit_1x1"
    # Blue comes first there.
    np.testing.assert_array_equal(
        model.trunk.get_layer("conv1_conv").kernel.numpy(),
        network.get_layer("conv1_conv").kernel.numpy()[:, :, ::-1],
    )
