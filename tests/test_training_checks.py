"""What a run watches: retrieval, gradient norms, class weights, a profile."""

import glob

import numpy as np
import pytest
import tensorflow as tf
from training_records import CLASSES, write_records

from delg_tf.common.errors import InputError
from delg_tf.evaluation.metrics import average_precision
from delg_tf.models.config import DelgConfig
from delg_tf.training.config import TrainingConfig
from delg_tf.training.history import read_history
from delg_tf.training.optimizer_config import OptimizerConfig
from delg_tf.training.profiling import parse_steps
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
    trainer = Trainer(run, average_precision)
    descriptors, labels = [], []
    for images, of in trainer._inputs.held_out():
        vector = model(images)["global_descriptor"].numpy()
        descriptors.append(vector / np.linalg.norm(vector, axis=1)[:, None])
        labels.append(of.numpy())
    labels = np.concatenate(labels)
    assert len(labels) == 12
    assert set(labels) == {*range(CLASSES), CLASSES + 5}
    score = _slow_score(np.concatenate(descriptors), labels)
    assert best["retrieval_map"] == pytest.approx(score, abs=1e-4)


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
