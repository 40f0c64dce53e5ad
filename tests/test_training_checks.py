"""What a run watches: retrieval, gradient norms, class weights, a profile."""

import glob
import io
import pathlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import werkzeug.test
from tensorboard.backend.event_processing import (
    data_provider,
    plugin_event_multiplexer,
)
from tensorboard.plugins import base_plugin
from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
from training_records import CLASSES, write_records

from delg_tf.common.errors import InputError
from delg_tf.data.augmentation import validation_image
from delg_tf.data.records import parse_example
from delg_tf.evaluation.metrics.revisited import average_precision
from delg_tf.models.config import DelgConfig
from delg_tf.training.config import TrainingConfig
from delg_tf.training.history import read_history
from delg_tf.training.optimizer_config import OptimizerConfig
from delg_tf.training.profiling import parse_steps
from delg_tf.training.projector import (
    label_lines,
    make_sprite,
    thumbnail_side,
)
from delg_tf.training.retrieval_validation import mean_average_precision
from delg_tf.training.trained_model import load_trained_model
from delg_tf.training.trainer import Trainer, train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched")
    write_records(folder / "train-00000-of-00001", 0, 24)
    # Of a class that training does not know.
    write_records(folder / "held-00000-of-00002", 50, 9)
    write_records(folder / "held-00001-of-00002", 60, 3, label=CLASSES + 5)
    config = TrainingConfig(
        model=DelgConfig(
            backbone="resnet_small", num_classes=CLASSES, embedding_dim=16
        ),
        logdir=str(folder / "run"),
        train_file_pattern=f"{folder}/train-*",
        retrieval_file_pattern=f"{folder}/held-*",
        retrieval_interval=2,
        optimizer=OptimizerConfig(initial_lr=0.05, ema_decay=0.5),
        image_size=48,
        batch_size=8,
        max_iters=6,
        report_interval=3,
        profile_steps=(2, 3),
    )
    train(config, average_precision)
    return config


def test_best_network_is_the_one_that_reached_the_score(run):
    rows = [r for r in read_history(run.logdir) if r["kind"] == "retrieval"]
    assert [row["step"] for row in rows] == [2, 4, 6]
    best = max(rows, key=lambda row: row["retrieval_map"])
    model, record = load_trained_model(f"{run.logdir}/best")
    assert record.training["step"] == best["step"]
    assert record.training["retrieval_map"] == best["retrieval_map"]
    _, labels, descriptors = _described(run, model)
    assert len(labels) == 12
    assert set(labels) == {*range(CLASSES), CLASSES + 5}
    score = _slow_score(descriptors, labels)
    assert best["retrieval_map"] == pytest.approx(score, abs=1e-4)


def _described(run, model):
    """Held-out images, labels and descriptors, with no code of training."""
    images, labels = [], []
    for path in sorted(glob.glob(run.retrieval_file_pattern)):
        for record in tf.data.TFRecordDataset(path):
            example = parse_example(record)
            image = validation_image(example["image/encoded"], run.image_size)
            images.append(image.numpy())
            labels.append(int(example["image/class/label"]))
    images = np.stack(images)
    vectors = model(images)["global_descriptor"].numpy()
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    return images, np.array(labels), vectors


def _slow_score(descriptors, labels):
    """Trapezoids under the precision-recall curve, query by query."""
    scores = []
    for query in range(len(labels)):
        others = [i for i in range(len(labels)) if i != query]
        others.sort(key=lambda i: -float(descriptors[i] @ descriptors[query]))
        right = [labels[i] == labels[query] for i in others]
        if not any(right):
            continue
        area, found, previous = 0.0, 0, 1.0
        for place, hit in enumerate(right, start=1):
            if hit:
                before = found / (place - 1) if place > 1 else previous
                found += 1
                area += (before + found / place) / 2 / sum(right)
        scores.append(area)
    return np.mean(scores)


def test_score_of_known_rankings():
    descriptors = np.eye(4)[[0, 0, 1, 1]]
    assert mean_average_precision(
        descriptors, np.array([3, 3, 5, 5]), average_precision
    ) == pytest.approx(1)
    lonely = mean_average_precision(
        descriptors, np.arange(4), average_precision
    )
    assert np.isnan(lonely)


@pytest.fixture(scope="module")
def get(run):
    """Asks TensorBoard's projector, started on the folder of runs."""
    folder = pathlib.Path(run.logdir).parent
    runs = plugin_event_multiplexer.EventMultiplexer()
    runs.AddRunsFromDirectory(str(folder)).Reload()
    provider = data_provider.MultiplexerDataProvider(runs, str(folder))
    context = base_plugin.TBContext(logdir=str(folder), data_provider=provider)
    apps = ProjectorPlugin(context).get_plugin_apps()

    def ask(route, **arguments):
        client = werkzeug.test.Client(apps[route])
        answer = client.get("/", query_string=arguments)
        assert answer.status_code == 200, answer.text
        return answer

    return ask


def test_projector_shows_the_best_network(run, get):
    assert "run/train_logs" in get("/runs").json
    here = {"run": "run/train_logs"}
    (info,) = [
        embedding
        for embedding in get("/info", **here).json["embeddings"]
        if "tensorPath" in embedding
    ]
    model, record = load_trained_model(f"{run.logdir}/best")
    images, labels, vectors = _described(run, model)
    assert info["tensorName"].endswith(f"step {record.training['step']}")
    assert info["tensorShape"] == [12, 16]
    here["name"] = info["tensorName"]
    tensor = np.frombuffer(get("/tensor", **here).data, np.float32)
    np.testing.assert_allclose(tensor.reshape(12, 16), vectors, atol=1e-5)
    rows = [r.split("\t") for r in get("/metadata", **here).text.splitlines()]
    assert rows[0] == ["label", "image"]
    names = [f"{i:016x}" for i in (*range(50, 59), *range(60, 63))]
    assert rows[1:] == [[str(i), n] for i, n in zip(labels, names)]
    answer = get("/sprite_image", **here)
    assert answer.content_type == "image/jpeg"
    # 12 thumbnails, 4 in a row.
    assert info["sprite"]["singleImageDim"] == [64, 64]
    sprite = np.asarray(PIL.Image.open(io.BytesIO(answer.data)), np.float32)
    assert sprite.shape == (3 * 64, 4 * 64, 3)
    for i, image in enumerate(images):
        top, left = i // 4 * 64, i % 4 * 64
        tile = sprite[top : top + 64, left : left + 64].mean(axis=(0, 1))
        expected = (image * 128 + 128).mean(axis=(0, 1))
        np.testing.assert_allclose(tile, expected, atol=4)


def test_tables_and_sprites_of_the_projector():
    labels = np.array([7, 8])
    assert label_lines(labels, ["", ""]) == ["7", "8"]
    lines = label_lines(labels, ["a\tb\n", ""])
    assert lines == ["label\timage", "7\ta b", "8\t"]
    sides = [thumbnail_side(count) for count in (1, 128**2, 128**2 + 1, 10**6)]
    assert sides == [64, 64, 63, 8]
    colours = np.eye(5, 3, dtype=np.float32)[:, None, None] * np.ones(
        [1, 4, 4, 1]
    )
    images = tf.data.Dataset.from_tensor_slices((colours, np.arange(5)))
    sprite = tf.io.decode_image(make_sprite(images, 5, 8)).numpy()
    assert sprite.shape == (16, 24, 3)
    for i, colour in enumerate(colours):
        tile = sprite[i // 3 * 8 :, i % 3 * 8 :][:8, :8]
        expected = np.clip(colour[0, 0] * 128 + 128, 0, 255)
        np.testing.assert_allclose(
            tile, np.broadcast_to(expected, tile.shape), atol=3
        )


def test_networks_are_traced_once(run):
    """However often they are validated."""
    trainer = Trainer(run, average_precision)
    functions = [
        trainer._describer._descriptors,
        trainer._attention_scores._scores,
    ]
    counts = []
    for _ in range(2):
        trainer._describer.describe(trainer._held_out)
        trainer._record()
        counts.append([f.experimental_get_tracing_count() for f in functions])
    assert counts[0] == counts[1] and min(counts[0]) > 0


def test_gradient_norms_of_the_parts_make_up_the_whole(run):
    rows = [r for r in read_history(run.logdir) if r["kind"] == "train"]
    assert len(rows) == 2
    for row in rows:
        parts = [v for k, v in row.items() if k.startswith("gradient_norm/")]
        assert len(parts) == 10
        whole = np.sqrt(np.sum(np.square(parts)))
        assert row["gradient_norm"] == pytest.approx(whole, rel=1e-5)


def test_class_weights_and_profile_are_written(run):
    rows = read_history(run.logdir)
    row = next(row for row in rows if row["kind"] == "network")
    low, mean, high = (
        row[f"class_weights/{name}"] for name in ("min", "mean", "max")
    )
    assert 0 < low <= mean <= high
    assert glob.glob(f"{run.logdir}/train_logs/**/*.xplane.pb", recursive=True)
    tags = set()
    for path in glob.glob(f"{run.logdir}/train_logs/events*"):
        for event in tf.compat.v1.train.summary_iterator(path):
            tags |= {value.tag for value in event.summary.value}
    assert {"class_weights", "validation/retrieval_map"} <= tags
    assert "gradient_norm/block1" in tags


def test_profile_steps_are_two_in_order():
    assert parse_steps("3,5") == (3, 5)
    assert parse_steps(None) is None
    for text in ("3", "5,3", "a,b", "0,2"):
        with pytest.raises(InputError, match="`profile_steps`"):
            parse_steps(text)
