"""Losses against slow derivations; where their gradients go."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from delg_tf.common.errors import InputError
from delg_tf.models.config import DelgConfig
from delg_tf.models.delg import Delg
from delg_tf.training.losses.arcface import add_angular_margin, arcface_loss
from delg_tf.training.losses.attention import attention_loss
from delg_tf.training.losses.reconstruction import reconstruction_loss
from delg_tf.training.losses.total import LossConfig, delg_losses


def _slow_cross_entropy(logits, label):
    largest = max(logits)
    total = sum(math.exp(value - largest) for value in logits)
    return math.log(total) + largest - logits[label]


def _slow_arcface(cosines, label, scale, margin):
    """By the angle itself; the margin is left out beyond pi - margin."""
    logits = [float(cosine) for cosine in cosines]
    angle = math.acos(logits[label])
    if angle <= math.pi - margin:
        logits[label] = math.cos(angle + margin)
    return _slow_cross_entropy([scale * value for value in logits], label)


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("scale", [1.0, 45.25])
def test_arcface_equals_slow_derivation(margin, scale):
    random = np.random.default_rng(0)
    cosines = random.uniform(-0.999, 0.999, (40, 6))
    labels = random.integers(0, 6, 40)
    # Angles before and beyond pi - margin.
    offsets = [-0.3, -0.02, -0.001, 0.001, 0.02, 0.08]
    for row, offset in enumerate(offsets):
        angle = min(math.pi - margin + offset, math.pi - 1e-3)
        cosines[row, labels[row]] = math.cos(angle)
    expected = [
        _slow_arcface(cosines[row], labels[row], scale, margin)
        for row in range(40)
    ]
    loss = arcface_loss(
        tf.constant(cosines, tf.float32),
        tf.constant(labels),
        tf.constant(scale),
        margin,
    )
    np.testing.assert_allclose(loss, expected, rtol=2e-5, atol=2e-5)


def test_margin_changes_the_true_class_only():
    cosines = tf.constant([[0.1, 0.5, -0.3], [0.1, 0.5, -0.3]])
    changed = add_angular_margin(cosines, tf.constant([1, 2]), 0.1).numpy()
    different = changed != cosines.numpy()
    assert different.tolist() == [[False, True, False], [False, False, True]]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(
    "extreme", [1.0, 1 + 1e-6, 1 + 1e-3, 0.0, -1.0, -1 - 1e-6, -1 - 1e-3]
)
def test_arcface_is_finite_at_the_ends(extreme, dtype):
    cosines = tf.cast(tf.constant([[extreme, 0.2, -1.0]]), dtype)
    scale = tf.constant(45.25)
    for label in range(3):
        with tf.GradientTape() as tape:
            tape.watch([cosines, scale])
            loss = arcface_loss(cosines, tf.constant([label]), scale, 0.1)
        assert loss.dtype == tf.float32
        gradients = tape.gradient(loss, [cosines, scale])
        for value in (loss, *gradients):
            assert np.isfinite(np.asarray(value, np.float32)).all()


def test_arcface_gradient_equals_finite_differences():
    random = np.random.default_rng(3)
    cosines = random.uniform(-0.9, 0.9, (1, 4))
    tensor = tf.constant(cosines, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        loss = arcface_loss(tensor, tf.constant([2]), tf.constant(5.0), 0.2)
    gradient = tape.gradient(loss, tensor).numpy()[0]
    for column in range(4):
        step = np.eye(4)[column] * 1e-6
        difference = _slow_arcface(
            cosines[0] + step, 2, 5.0, 0.2
        ) - _slow_arcface(cosines[0] - step, 2, 5.0, 0.2)
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
    ],
)
def test_bad_loss_configuration_names_the_field(field, value):
    with pytest.raises(InputError, match=f"`{field}`.*{value}"):
        LossConfig(**{field: value})


def test_attention_loss_is_the_cross_entropy():
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (5, 4)).astype(np.float32)
    labels = random.integers(0, 4, 5)
    expected = [
        _slow_cross_entropy(logits[row].tolist(), labels[row])
        for row in range(5)
    ]
    np.testing.assert_allclose(
        attention_loss(tf.constant(logits), tf.constant(labels)), expected, 1e-5
    )


def _outputs(random, batch=3):
    """Arrays shaped like the network's outputs."""
    return {
        "cosines": random.uniform(-0.9, 0.9, (batch, 4)).astype(np.float32),
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


def test_total_is_the_weighted_sum_over_the_global_batch():
    outputs = _outputs(np.random.default_rng(5))
    labels = np.array([0, 3, 1])
    config = LossConfig(0.1, reconstruction_weight=7.0, attention_weight=0.5)
    losses = delg_losses(
        {key: tf.constant(value) for key, value in outputs.items()},
        tf.constant(labels),
        tf.constant(10.0),
        config,
        margin=0.1,
        global_batch=6,
    )
    expected = {
        "global": sum(
            _slow_arcface(row, label, 10.0, 0.1)
            for row, label in zip(outputs["cosines"], labels)
        )
        / 6,
        "attention": sum(
            _slow_cross_entropy(row.tolist(), label)
            for row, label in zip(outputs["local_logits"], labels)
        )
        / 6,
        "reconstruction": (
            (outputs["features"] - outputs["block3_target"]) ** 2
        ).mean()
        * 3
        / 6,
    }
    expected["total"] = (
        expected["global"]
        + 7 * expected["reconstruction"]
        + 0.5 * expected["attention"]
    )
    assert losses.keys() == expected.keys()
    for key, value in expected.items():
        assert float(losses[key]) == pytest.approx(value, rel=1e-4)


def test_losses_of_the_parts_of_a_batch_add_up():
    outputs = _outputs(np.random.default_rng(6), batch=4)
    labels = np.array([0, 3, 1, 2])

    def losses(part):
        return delg_losses(
            {key: tf.constant(value[part]) for key, value in outputs.items()},
            tf.constant(labels[part]),
            tf.constant(10.0),
            LossConfig(),
            margin=0.1,
            global_batch=4,
        )

    whole, first, rest = (
        losses(part) for part in (slice(None), slice(1), slice(1, None))
    )
    for key in whole:
        assert float(whole[key]) == pytest.approx(
            float(first[key]) + float(rest[key]), rel=1e-5
        )


# --- where gradients go ---------------------------------------------------


def _gradient_sizes(config, losses):
    """Largest absolute gradient of the sum of `losses`, by variable group."""
    model = Delg(config)
    model.build_variables()
    images = tf.random.stateless_uniform((2, 64, 64, 3), [0, 1], -1, 1)
    labels = tf.constant([0, 2])
    with tf.GradientTape() as tape:
        outputs = model(images, training=True)
        values = delg_losses(
            outputs, labels, model.global_head.scale, LossConfig(), 0.1, 2
        )
        loss = tf.add_n([values[key] for key in losses])
    parts = {
        "trunk": model.trunk,
        "conv5": model.conv5,
        "whitening": model.whitening,
        "global_head": model.global_head,
        "attention": model.attention,
        "autoencoder": model.autoencoder,
        "local_head": model.local_head,
    }
    variables = {
        key: part.trainable_variables
        for key, part in parts.items()
        if part is not None
    }
    gradients = tape.gradient(loss, variables)
    return {
        key: [0.0 if g is None else np.abs(g).max() for g in group]
        for key, group in gradients.items()
    }


_SMALL = DelgConfig(
    backbone="resnet_small",
    num_classes=3,
    embedding_dim=16,
    autoencoder_dim=8,
    attention_dim=8,
)


@pytest.mark.parametrize("use_autoencoder", [True, False])
@pytest.mark.parametrize("local_stride", [16, 32])
@pytest.mark.parametrize(
    "position", ["last_unit", "first_unit_1x1", "first_unit_3x3"]
)
def test_local_losses_leave_the_backbone_alone(
    position, local_stride, use_autoencoder
):
    config = dataclasses.replace(
        _SMALL,
        stride_position=position,
        local_stride=local_stride,
        use_autoencoder=use_autoencoder,
    )
    sizes = _gradient_sizes(config, ["attention", "reconstruction"])
    for part in ("trunk", "conv5", "whitening", "global_head"):
        assert not any(sizes[part]), part
    assert all(sizes["local_head"])
    assert any(sizes["attention"])
    if use_autoencoder:
        assert all(sizes["autoencoder"])


def test_local_losses_reach_the_backbone_when_asked_to():
    config = dataclasses.replace(_SMALL, stop_gradient=False)
    for loss in ("attention", "reconstruction"):
        sizes = _gradient_sizes(config, [loss])
        # Every convolution of the trunk, and nothing behind it.
        assert np.mean(np.array(sizes["trunk"]) > 0) > 0.9
        assert not any(sizes["conv5"])


def test_attention_loss_trains_the_autoencoder_too():
    sizes = _gradient_sizes(_SMALL, ["attention"])
    assert all(sizes["autoencoder"])


def test_global_loss_trains_the_backbone_only():
    sizes = _gradient_sizes(_SMALL, ["global"])
    for part in ("trunk", "conv5"):
        assert np.mean(np.array(sizes[part]) > 0) > 0.9
    assert all(sizes["global_head"])
    for part in ("attention", "autoencoder", "local_head"):
        assert not any(sizes[part]), part
