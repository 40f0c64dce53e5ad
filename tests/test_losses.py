"""Losses against slow derivations."""

import math

import numpy as np
import pytest
import tensorflow as tf

from delg_tf.common.errors import InputError
from delg_tf.training.losses.arcface import add_angular_margin, arcface_loss
from delg_tf.training.losses.contrastive import contrastive_loss
from delg_tf.training.losses.cross_entropy import cross_entropy
from delg_tf.training.losses.reconstruction import reconstruction_loss
from delg_tf.training.losses.total import LossConfig, delg_losses


def _slow_cross_entropy(logits, label, smoothing=0.0):
    largest = max(logits)
    total = sum(math.exp(value - largest) for value in logits)
    logs = [value - largest - math.log(total) for value in logits]
    share = smoothing / len(logits)
    wanted = [
        share + (1 - smoothing if column == label else 0)
        for column in range(len(logits))
    ]
    return -sum(p * log for p, log in zip(wanted, logs))


def _slow_arcface(cosines, label, scale, margin, smoothing=0.0):
    """By the angle itself; the margin is left out beyond pi - margin."""
    logits = [float(cosine) for cosine in cosines]
    angle = math.acos(logits[label])
    if angle <= math.pi - margin:
        logits[label] = math.cos(angle + margin)
    logits = [scale * value for value in logits]
    return _slow_cross_entropy(logits, label, smoothing)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("margin", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("scale", [1.0, 45.25])
def test_arcface_equals_slow_derivation(margin, scale, smoothing):
    random = np.random.default_rng(0)
    cosines = random.uniform(-0.999, 0.999, (40, 6))
    labels = random.integers(0, 6, 40)
    # Angles before and beyond pi - margin.
    offsets = [-0.3, -0.02, -0.001, 0.001, 0.02, 0.08]
    for row, offset in enumerate(offsets):
        angle = min(math.pi - margin + offset, math.pi - 1e-3)
        cosines[row, labels[row]] = math.cos(angle)
    expected = [
        _slow_arcface(cosines[row], labels[row], scale, margin, smoothing)
        for row in range(40)
    ]
    loss = arcface_loss(
        tf.constant(cosines, tf.float32),
        tf.constant(labels),
        tf.constant(scale),
        margin,
        smoothing,
    )
    np.testing.assert_allclose(loss, expected, rtol=2e-5, atol=2e-5)


def test_margin_changes_the_true_class_only():
    cosines = tf.constant([[0.1, 0.5, -0.3], [0.1, 0.5, -0.3]])
    changed = add_angular_margin(cosines, tf.constant([1, 2]), 0.1).numpy()
    different = changed != cosines.numpy()
    assert different.tolist() == [[False, True, False], [False, False, True]]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(
    "extreme", [1.0, 1 + 1e-6, 1 + 1e-3, 0.0, -1.0, -1 - 1e-6, -1 - 1e-3]
)
def test_arcface_is_finite_at_the_ends(extreme, dtype, smoothing):
    cosines = tf.cast(tf.constant([[extreme, 0.2, -1.0]]), dtype)
    scale = tf.constant(45.25)
    for label in range(3):
        with tf.GradientTape() as tape:
            tape.watch([cosines, scale])
            loss = arcface_loss(
                cosines, tf.constant([label]), scale, 0.1, smoothing
            )
        assert loss.dtype == tf.float32
        gradients = tape.gradient(loss, [cosines, scale])
        for value in (loss, *gradients):
            assert np.isfinite(np.asarray(value, np.float32)).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_arcface_gradient_equals_finite_differences(smoothing):
    random = np.random.default_rng(3)
    cosines = random.uniform(-0.9, 0.9, (1, 4))
    tensor = tf.constant(cosines, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        loss = arcface_loss(
            tensor, tf.constant([2]), tf.constant(5.0), 0.2, smoothing
        )
    gradient = tape.gradient(loss, tensor).numpy()[0]
    for column in range(4):
        step = np.eye(4)[column] * 1e-6
        difference = _slow_arcface(
            cosines[0] + step, 2, 5.0, 0.2, smoothing
        ) - _slow_arcface(cosines[0] - step, 2, 5.0, 0.2, smoothing)
        assert gradient[column] == pytest.approx(difference / 2e-6, rel=1e-3)


def test_margin_out_of_range_is_refused():
    for margin in (-0.1, math.pi / 2):
        with pytest.raises(ValueError, match="Received"):
            add_angular_margin(tf.zeros([1, 2]), tf.constant([0]), margin)


@pytest.mark.parametrize(
    "field, value",
    [
        ("margin", -0.1),
        ("margin", 1.6),
        ("reconstruction_weight", -1.0),
        ("attention_weight", -1.0),
        ("label_smoothing", -0.1),
        ("label_smoothing", 1.0),
        ("contrastive_weight", -1.0),
        ("contrastive_margin", 0.0),
        ("contrastive_margin", 2.5),
    ],
)
def test_bad_loss_configuration_names_the_field(field, value):
    with pytest.raises(InputError, match=f"`{field}`.*{value}"):
        LossConfig(**{field: value})


@pytest.mark.parametrize("smoothing", [0.0, 0.25])
def test_cross_entropy_equals_slow_derivation(smoothing):
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (5, 4)).astype(np.float32)
    labels = random.integers(0, 4, 5)
    expected = [
        _slow_cross_entropy(logits[row].tolist(), labels[row], smoothing)
        for row in range(5)
    ]
    loss = cross_entropy(tf.constant(logits), tf.constant(labels), smoothing)
    np.testing.assert_allclose(loss, expected, 1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.25])
def test_a_column_counts_for_as_many_classes_as_its_weight(smoothing):
    logits = np.array([[1.0, -2.0, 0.5], [0.3, 1.5, -1.0]], np.float32)
    targets = tf.constant([0, 2])
    # Columns 0 and 2 stand for themselves, column 1 for three like it.
    loss = cross_entropy(
        tf.constant(logits), targets, smoothing, tf.math.log([1.0, 3.0, 1.0])
    )
    written_out = tf.constant(logits[:, [0, 2, 1, 1, 1]])
    expected = cross_entropy(written_out, tf.constant([0, 1]), smoothing)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def _outputs(random, batch=3):
    """Arrays shaped like the network's outputs."""
    return {
        "cosines": random.uniform(-0.9, 0.9, (batch, 4)).astype(np.float32),
        "scale": np.float32(10),
        "global_logits": random.normal(size=(batch, 4)).astype(np.float32),
        "global_descriptor": random.normal(size=(batch, 3)).astype("float32"),
        "local_logits": random.normal(size=(batch, 4)).astype(np.float32),
        "features": random.normal(size=(batch, 2, 5, 6)).astype(np.float32),
        "block3_target": random.normal(size=(batch, 2, 5, 6)).astype("float32"),
    }


def test_reconstruction_equals_slow_loops():
    outputs = _outputs(np.random.default_rng(2))
    a, b = outputs["features"], outputs["block3_target"]
    expected = [
        sum(
            (float(a[i, y, x, c]) - float(b[i, y, x, c])) ** 2
            for y in range(2)
            for x in range(5)
            for c in range(6)
        )
        / (2 * 5 * 6)
        for i in range(3)
    ]
    loss = reconstruction_loss(tf.constant(a), tf.constant(b))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("head", ["arcface", "softmax"])
def test_total_is_the_weighted_sum_over_the_global_batch(head, training):
    outputs = _outputs(np.random.default_rng(5))
    if head == "softmax":
        del outputs["cosines"], outputs["scale"]
    labels = np.array([0, 3, 1])
    config = LossConfig(
        margin=0.1,
        reconstruction_weight=7.0,
        attention_weight=0.5,
        label_smoothing=0.2,
        contrastive_weight=3.0,
        contrastive_margin=1.5,
    )
    losses = delg_losses(
        {key: tf.constant(value) for key, value in outputs.items()},
        tf.constant(labels),
        config,
        global_batch=6,
        training=training,
    )
    # Validation measures the plain cross-entropy.
    margin, smoothing = (0.1, 0.2) if training else (0.0, 0.0)
    parts = {
        "global": [
            _slow_arcface(row, label, 10.0, margin, smoothing)
            if head == "arcface"
            else _slow_cross_entropy(logits.tolist(), label, smoothing)
            for row, logits, label in zip(
                outputs.get("cosines", labels), outputs["global_logits"], labels
            )
        ],
        "attention": [
            _slow_cross_entropy(row.tolist(), label, smoothing)
            for row, label in zip(outputs["local_logits"], labels)
        ],
        "reconstruction": (
            (outputs["features"] - outputs["block3_target"]) ** 2
        ).mean((1, 2, 3)),
        "contrastive": contrastive_loss(
            tf.constant(outputs["global_descriptor"]), tf.constant(labels), 1.5
        ).numpy(),
    }
    expected = {key: sum(values) / 6 for key, values in parts.items()}
    assert expected["contrastive"] > 0
    expected["total"] = (
        expected["global"]
        + 7 * expected["reconstruction"]
        + 0.5 * expected["attention"]
        + 3 * expected["contrastive"]
    )
    assert losses.keys() == expected.keys()
    for key, value in expected.items():
        assert float(losses[key]) == pytest.approx(value, rel=1e-4)


def test_without_autoencoder_nothing_is_reconstructed():
    outputs = _outputs(np.random.default_rng(5))
    del outputs["block3_target"]
    losses = delg_losses(
        outputs, np.array([0, 3, 1]), LossConfig(), 3, training=True
    )
    assert float(losses["reconstruction"]) == 0
    assert float(losses["total"]) == pytest.approx(
        float(losses["global"] + losses["attention"])
    )


def test_losses_of_the_parts_of_a_batch_add_up():
    outputs = _outputs(np.random.default_rng(6), batch=4)
    labels = np.array([0, 3, 1, 2])

    def losses(part):
        return delg_losses(
            {
                key: tf.constant(value[part] if value.ndim else value)
                for key, value in outputs.items()
            },
            tf.constant(labels[part]),
            LossConfig(),
            global_batch=4,
            training=True,
        )

    whole, first, rest = (
        losses(part) for part in (slice(None), slice(1), slice(1, None))
    )
    for key in whole:
        assert float(whole[key]) == pytest.approx(
            float(first[key]) + float(rest[key]), rel=1e-5
        )
