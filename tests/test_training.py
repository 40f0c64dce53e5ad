"""Training: steps, replicas, interruption, and what it leaves."""

import dataclasses
import glob
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from training_records import CLASSES, write_records

from delg_tf.common.errors import InputError
from delg_tf.data import pipeline
from delg_tf.models.config import DelgConfig
from delg_tf.models.delg import Delg
from delg_tf.training import thresholds
from delg_tf.training.config import TrainingConfig
from delg_tf.training.devices import make_strategy
from delg_tf.training.history import History, read_history
from delg_tf.training.losses.total import LossConfig, delg_losses
from delg_tf.training.optimizer import GroupedOptimizer
from delg_tf.training.optimizer_config import OptimizerConfig
from delg_tf.training.schedule import WarmupDecay
from delg_tf.training.step import TrainStep
from delg_tf.training.trained_model import load_record, load_trained_model
from delg_tf.training.trainer import Trainer, train

ROOT = pathlib.Path(__file__).resolve().parents[1]
RATES = {"steps_per_second", "images_per_second"}
TRAIN_IMAGES, VALIDATION_IMAGES = 26, 5

MODEL = DelgConfig(
    backbone="resnet_small",
    num_classes=CLASSES,
    embedding_dim=16,
    attention_dim=8,
    autoencoder_dim=8,
    bn_momentum=0.9,
)


THRESHOLD_IMAGES = 64


@pytest.fixture(scope="module", autouse=True)
def _few_threshold_images():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thresholds, "IMAGES", THRESHOLD_IMAGES)
        yield


# --- records --------------------------------------------------------------


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    # Shards of different lengths, and an empty one.
    first = 0
    for shard, count in enumerate([10, 0, 7, 9]):
        path = folder / f"train-{shard:05d}-of-00004"
        write_records(path, first, count)
        first += count
    write_records(folder / "validation-00000-of-00001", 100, VALIDATION_IMAGES)
    assert first == TRAIN_IMAGES
    return folder


def _config(logdir, records, **changes):
    values = {
        "model": MODEL,
        "logdir": str(logdir),
        "train_file_pattern": str(records / "train-*"),
        "image_size": 48,
        "batch_size": 8,
        "max_iters": 6,
        "shuffle_buffer": 12,
        "report_interval": 2,
        "eval_interval": 4,
        "save_interval": 2,
        "seed": 3,
    }
    names = {field.name for field in dataclasses.fields(OptimizerConfig)}
    optimizer = {"initial_lr": 0.05} | {
        name: changes.pop(name) for name in names & changes.keys()
    }
    values["optimizer"] = OptimizerConfig(**optimizer)
    return TrainingConfig(**values | changes)


def _input(records, **changes):
    """The input of `_config`."""
    values = {
        "file_pattern": str(records / "train-*"),
        "num_classes": CLASSES,
        "image_size": 48,
        "batch_size": 8,
        "shuffle_buffer": 12,
        "seed": 3,
    }
    return pipeline.PipelineConfig(**values | changes)


# --- schedule -------------------------------------------------------------


def test_schedule_values():
    plain = WarmupDecay(0.1, 10)
    rates = [float(plain(step)) for step in (0, 1, 5, 10, 11)]
    np.testing.assert_allclose(rates, [0.1, 0.09, 0.05, 0, 0], atol=1e-8)
    warm = WarmupDecay(0.1, 10, warmup_steps=3)
    rates = [float(warm(step)) for step in range(5)]
    expected = [0.025, 0.05 * 0.9, 0.075 * 0.8, 0.1 * 0.7, 0.1 * 0.6]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    assert WarmupDecay.from_config(warm.get_config())(2) == warm(2)


# --- steps ----------------------------------------------------------------


def _random_batch(seed, count=8, size=48):
    random = np.random.default_rng(seed)
    images = random.uniform(-1, 1, (count, size, size, 3)).astype(np.float32)
    return tf.constant(images), tf.constant(random.integers(0, CLASSES, count))


def test_step_equals_sgd_written_out():
    """Two steps: rate, momentum, clipping of the global norm."""
    keras.utils.set_random_seed(1)
    model, reference = Delg(MODEL), Delg(MODEL)
    model.build_variables()
    reference.build_variables()
    reference.set_weights(model.get_weights())
    clip = 0.5
    config = OptimizerConfig(initial_lr=0.1, clip_norm=clip)
    optimizer = GroupedOptimizer(model, config, 4)
    step = TrainStep(
        model, optimizer, tf.distribute.get_strategy(), LossConfig(), 8, config
    )
    velocity = [np.zeros(v.shape) for v in reference.trainable_variables]
    for number, rate in enumerate([0.1, 0.075]):
        images, labels = _random_batch(number)
        metrics = step(images, labels)
        with tf.GradientTape() as tape:
            losses = delg_losses(
                reference(images, training=True),
                labels,
                LossConfig(),
                8,
                training=True,
            )
        variables = reference.trainable_variables
        gradients = [
            np.asarray(g) for g in tape.gradient(losses["total"], variables)
        ]
        norm = np.sqrt(sum((g.astype(float) ** 2).sum() for g in gradients))
        assert norm > clip
        assert float(metrics["gradient_norm"]) == pytest.approx(norm, rel=1e-4)
        for key, value in losses.items():
            assert float(metrics[key]) == pytest.approx(float(value), rel=1e-4)
        for i, gradient in enumerate(gradients):
            velocity[i] = 0.9 * velocity[i] - rate * gradient * clip / norm
            variables[i].assign_add(velocity[i].astype(np.float32))
    for ours, expected in zip(model.weights, reference.weights):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def _weights(run):
    return [weight.numpy() for weight in run.model.weights]


def _largest_difference(one, other):
    return max(np.abs(a - b).max() for a, b in zip(one, other))


def _freeze_norms(model):
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


@pytest.mark.parametrize("norms", ["synchronized", "frozen"])
def test_two_replicas_equal_one(tmp_path, records, norms):
    clip = 0.5
    results, metrics = [], []
    for replicas in (1, 2):
        logdir = tmp_path / str(replicas)
        run = Trainer(
            _config(
                logdir,
                records,
                model=dataclasses.replace(
                    MODEL, synchronized_bn=norms == "synchronized"
                ),
                validation_file_pattern=str(records / "validation-*"),
                replicas=replicas,
                # Smaller ones leave 32 cells for the last statistics, and
                # rounding errors grow tenfold a step.
                image_size=96,
                clip_norm=clip,
                report_interval=1,
                eval_interval=2,
                max_iters=3,
            )
        )
        assert run.strategy.num_replicas_in_sync == replicas
        if norms == "frozen":
            _freeze_norms(run.model)
        start = _weights(run)
        record = run.run()
        results.append(_weights(run))
        metrics.append(read_history(logdir))
        assert record is not None
        assert _largest_difference(start, results[-1]) > 1e-2
    assert _largest_difference(*results) < 2e-5
    rows = [row for row in metrics[0] if row["kind"] == "train"]
    assert len(rows) == 3
    assert all(row["gradient_norm"] > clip for row in rows)
    kinds = [row["kind"] for row in metrics[0]]
    assert kinds == [row["kind"] for row in metrics[1]]
    assert kinds.count("validation") == 2
    for one, two in zip(*metrics):
        if one["kind"] == "network":  # Of the first replica's images.
            continue
        for key in one.keys() - {"kind"} - RATES:
            assert one[key] == pytest.approx(two[key], rel=1e-4), key


def test_too_many_replicas_are_refused(tmp_path, records):
    with pytest.raises(InputError, match="`replicas` is 9"):
        make_strategy(replicas=9)
    config = _config(tmp_path, records, replicas=2, batch_size=7)
    with pytest.raises(InputError, match="multiple of the 2 replicas"):
        Trainer(config)


# --- runs -----------------------------------------------------------------


def _checkpointed(logdir):
    """All variables of the latest checkpoint: weights, slots, step."""
    path = tf.train.latest_checkpoint(str(logdir / "delf_tf2-ckpt"))
    reader = tf.train.load_checkpoint(path)
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.endswith("VARIABLE_VALUE") and "save_counter" not in name
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory, records):
    """An uninterrupted run, with everything on."""
    logdir = tmp_path_factory.mktemp("runs") / "finished"
    config = _config(
        logdir,
        records,
        validation_file_pattern=str(records / "validation-*"),
        warmup_steps=1,
        keep_checkpoints=2,
    )
    return config, train(config)


def test_resumed_run_equals_uninterrupted_run(tmp_path, finished):
    config, record = finished
    interrupted = dataclasses.replace(config, logdir=str(tmp_path / "run"))
    # Between two checkpoints of the schedule, inside an epoch.
    assert train(dataclasses.replace(interrupted, stop_at=3)) is None
    resumed = train(interrupted)
    expected = _checkpointed(pathlib.Path(config.logdir))
    actual = _checkpointed(tmp_path / "run")
    assert actual.keys() == expected.keys()
    slots = [name for name in expected if "optimizer" in name]
    assert len(slots) > len(Delg(MODEL).trainable_variables)
    for name, value in expected.items():
        np.testing.assert_allclose(
            actual[name], value, rtol=1e-5, atol=1e-6, err_msg=name
        )
    assert resumed.attention == record.attention
    assert resumed.model == record.model


def test_killed_run_resumes_from_its_last_checkpoint(
    tmp_path, finished, monkeypatch
):
    config, _ = finished
    killed = dataclasses.replace(config, logdir=str(tmp_path / "run"))
    step = TrainStep.__call__
    calls = []

    def dying(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return step(*arguments)

    # The checkpoint is of step 2; step 3 is made twice.
    monkeypatch.setattr(TrainStep, "__call__", dying)
    run = Trainer(killed)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert run.step == 3
    monkeypatch.undo()
    train(killed)
    expected = _checkpointed(pathlib.Path(config.logdir))
    for name, value in _checkpointed(tmp_path / "run").items():
        np.testing.assert_allclose(
            value, expected[name], rtol=1e-5, atol=1e-6, err_msg=name
        )
    rows = read_history(tmp_path / "run")
    assert [r["step"] for r in rows if r["kind"] == "train"] == [2, 4, 6]


def test_second_call_of_a_finished_run_changes_nothing(finished):
    config, record = finished

    def content():
        return {
            path: path.read_bytes()
            for path in pathlib.Path(config.logdir).rglob("*")
            if path.is_file()
        }

    before = content()
    again = train(config)
    assert content() == before
    # JSON knows no tuples, so the training part is compared as such.
    assert json.dumps(dataclasses.asdict(again)) == json.dumps(
        dataclasses.asdict(record)
    )


def test_fewer_steps_than_done_do_not_train_on(tmp_path, records):
    run = Trainer(_config(tmp_path, records, max_iters=2))
    run.optimizer.iterations.assign(3)
    before = _weights(run)
    assert run.run() is not None
    assert run.step == 3
    assert _largest_difference(before, _weights(run)) == 0


def test_what_a_run_leaves(finished):
    config, record = finished
    logdir = pathlib.Path(config.logdir)
    model, loaded = load_trained_model(logdir)
    assert loaded == load_record(logdir)
    assert loaded.attention == record.attention
    checkpoint = tf.train.load_checkpoint(
        tf.train.latest_checkpoint(str(logdir / "delf_tf2-ckpt"))
    )
    scale = checkpoint.get_tensor(
        "model/global_head/scale/.ATTRIBUTES/VARIABLE_VALUE"
    )
    assert scale == model.global_head.scale.numpy() != 4.0
    # The thresholds, from the images of the stream's beginning.
    stream = pipeline.training_dataset(_input(records_of(config)), TRAIN_IMAGES)
    images = [images for images, _ in stream.take(THRESHOLD_IMAGES // 8)]
    scores = model(tf.concat(images, axis=0))["scores"].numpy()
    assert record.attention.median == pytest.approx(np.median(scores), 1e-4)
    assert record.attention.percentile_75 == pytest.approx(
        np.quantile(scores, 0.75), 1e-4
    )


def records_of(config):
    return pathlib.Path(config.train_file_pattern).parent


def test_history_of_a_run(finished):
    config, _ = finished
    rows = read_history(config.logdir)
    train_rows = [row for row in rows if row["kind"] == "train"]
    assert [row["step"] for row in train_rows] == [2, 4, 6]
    # The rate of the step that was made: 0.05 * (1 - (step - 1) / 6).
    np.testing.assert_allclose(
        [row["learning_rate"] for row in train_rows],
        [0.05 * 5 / 6, 0.05 * 3 / 6, 0.05 * 1 / 6],
        rtol=1e-5,
    )
    for row in train_rows:
        assert row["total"] == pytest.approx(
            row["global"] + 10 * row["reconstruction"] + row["attention"],
            rel=1e-5,
        )
    validations = [row for row in rows if row["kind"] == "validation"]
    assert [row["step"] for row in validations] == [4, 6]
    for row in validations:
        # A share of five images.
        right = row["global_accuracy"] * VALIDATION_IMAGES
        assert right == pytest.approx(round(right))
    networks = [row for row in rows if row["kind"] == "network"]
    for row in networks:
        assert 0 < row["sparsity/block4"] < 1
        assert row["attention/min"] < row["attention/percent_50"]


def test_validation_is_the_average_over_all_records(tmp_path, finished):
    """Against losses of one batch with all of them, without margin."""
    config, _ = finished
    model, _ = load_trained_model(config.logdir)
    dataset = (
        pipeline.validation_dataset(
            _input(
                records_of(config),
                file_pattern=config.validation_file_pattern,
            )
        )
        .unbatch()
        .batch(VALIDATION_IMAGES)
    )
    images, labels = next(iter(dataset))
    outputs = model(images)
    losses = delg_losses(
        outputs, labels, LossConfig(), len(labels), training=False
    )
    row = [r for r in read_history(config.logdir) if r["kind"] == "validation"][
        -1
    ]
    for key, value in losses.items():
        assert row[key] == pytest.approx(float(value), rel=1e-4)
    right = np.argmax(outputs["cosines"], 1) == labels.numpy()
    assert row["global_accuracy"] == pytest.approx(right.mean())


def test_tensorboard_has_the_official_names(finished):
    config, _ = finished
    tags = set()
    for path in glob.glob(f"{config.logdir}/train_logs/events*"):
        for event in tf.compat.v1.train.summary_iterator(path):
            tags |= {value.tag for value in event.summary.value}
    names = """batch_images image_range/max image_range/min batch_attention
        attention/max attention/min attention/mean attention/percent_25
        attention/percent_50 attention/percent_75 sparsity/block1
        sparsity/block2 sparsity/block3 sparsity/block4 desc/scale_factor
        learning_rate loss/desc/crossentropy loss/attn/crossentropy
        loss/recon/mse train_accuracy/desc train_accuracy/attn
        global_steps_per_sec validation/desc validation/attn"""
    assert set(names.split()) <= tags


def test_checkpoints_are_kept_as_asked(finished):
    folder = pathlib.Path(finished[0].logdir) / "delf_tf2-ckpt"
    names = {path.name for path in folder.glob("*.index")}
    assert names == {"ckpt-4.index", "ckpt-6.index"}


def test_history_drops_what_is_made_again(tmp_path):
    history = History(tmp_path, 0)
    for step in (2, 4, 6):
        history.add(step, "train", {"total": step / 2})
    with open(tmp_path / "history.jsonl", "a") as file:
        file.write('{"step": 8, "ki')
    assert [row["step"] for row in read_history(tmp_path)] == [2, 4, 6]
    History(tmp_path, 4)
    assert read_history(tmp_path) == [
        {"step": 2, "kind": "train", "total": 1.0},
        {"step": 4, "kind": "train", "total": 2.0},
    ]


@pytest.mark.parametrize("reduction", ["autoencoder", "none"])
def test_training_learns(tmp_path, records, reduction):
    config = _config(
        tmp_path,
        records,
        model=dataclasses.replace(MODEL, local_reduction=reduction),
        max_iters=40,
        report_interval=1,
        batch_size=16,
        crop_min_area=0.5,
    )
    train(config)
    rows = [r for r in read_history(tmp_path) if r["kind"] == "train"]

    def mean(key, part):
        return np.mean([row[key] for row in rows[part]])

    first, last = slice(0, 4), slice(-4, None)
    assert mean("total", last) < 0.5 * mean("total", first)
    # Chance is 0.25.
    assert mean("global_accuracy", last) > 0.8
    assert mean("attention", last) < mean("attention", first)
    if reduction == "autoencoder":
        assert mean("reconstruction", last) < mean("reconstruction", first)
    else:
        assert mean("reconstruction", last) == 0


def test_bfloat16_trains_in_float32_variables(tmp_path, records):
    config = _config(tmp_path, records, precision="bfloat16", max_iters=3)
    run = Trainer(config)
    assert run.model.trunk.get_layer("conv1_conv").compute_dtype == ("bfloat16")
    assert {weight.dtype for weight in run.model.weights} == {tf.float32}
    start = _weights(run)
    record = run.run()
    assert _largest_difference(start, _weights(run)) > 1e-3
    assert record.attention.median > 0
    # Later networks of this process are not concerned.
    assert keras.mixed_precision.global_policy().name == "float32"


# --- bad input ------------------------------------------------------------


@pytest.mark.parametrize("label", [CLASSES, -1])
def test_label_out_of_range_is_reported(tmp_path, label):
    path = tmp_path / "train-00000-of-00001"
    write_records(path, 0, 8, label=label)
    with pytest.raises(InputError, match="label"):
        train(_config(tmp_path / "run", tmp_path))


def test_damaged_record_is_reported(tmp_path):
    path = tmp_path / "train-00000-of-00001"
    write_records(path, 0, 8)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"train-.*damaged"):
        train(_config(tmp_path / "run", tmp_path))


def test_loss_that_is_not_finite_ends_the_run(tmp_path, records):
    config = _config(
        tmp_path, records, initial_lr=1e30, clip_norm=0.0, max_bad_steps=3
    )
    with pytest.raises(InputError, match=r"in the 5 steps.*Lower `initial_lr`"):
        train(config)
    # The last good checkpoint is there, with its finite weights.
    assert all(np.isfinite(v).all() for v in _checkpointed(tmp_path).values())


@pytest.mark.parametrize(
    "field, value",
    [
        ("image_size", 16),
        ("batch_size", 0),
        ("max_iters", -1),
        ("momentum", 1.0),
        ("crop_min_area", 0.0),
        ("precision", "float8"),
        ("seed", -1),
        ("replicas", 0),
    ],
)
def test_bad_configuration_names_the_field(tmp_path, records, field, value):
    with pytest.raises(InputError, match=f"`{field}`.*{value}"):
        _config(tmp_path, records, **{field: value})


def test_weights_of_another_network_are_refused(tmp_path, finished):
    config, _ = finished
    with pytest.raises(InputError, match="does not exist"):
        load_trained_model(tmp_path)
    with pytest.raises(InputError, match="cannot be loaded"):
        load_trained_model(config.logdir, embedding_dim=24)


def _run_tool(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "delg_tf.train", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def _small_flags(config):
    return [
        f"--logdir={config.logdir}",
        f"--train_file_pattern={config.train_file_pattern}",
        "--backbone=resnet_small",
        f"--num_classes={CLASSES}",
        "--image_size=48",
        "--batch_size=8",
        "--max_iters=2",
        "--delg_embedding_layer_dim=16",
    ]


def test_tool_trains(tmp_path, records):
    config = _config(tmp_path / "run", records)
    result = _run_tool(*_small_flags(config))
    assert result.returncode == 0, result.stderr
    record = load_record(config.logdir)
    assert record.model.local_stride == 32
    assert record.model.num_classes == CLASSES
    assert record.training["max_iters"] == 2
