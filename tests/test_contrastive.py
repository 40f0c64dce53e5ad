"""The contrastive loss, and tensorflow-addons' of the same name."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from reference_addons import tensorflow_addons

from delg_tf.training.losses.contrastive import contrastive_loss


def _batch(seed=0, count=9):
    """Descriptors around three places, near and far from each other."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count)
    places = np.array([[2.0, 0, 0], [1, 0.4, 0], [0, 1, 1]])
    descriptors = places[labels] + random.normal(0, 0.2, (count, 3))
    return descriptors.astype(np.float32), labels


@pytest.mark.parametrize("margin", [0.7, 1.4])
def test_equals_slow_loops(margin):
    descriptors, labels = _batch()
    unit = descriptors / np.linalg.norm(descriptors, axis=1)[:, None]
    expected = np.zeros(9)
    active = 0
    for i, j in itertools.permutations(range(9), 2):
        distance = np.sqrt(((unit[i] - unit[j]) ** 2).sum())
        if labels[i] == labels[j]:
            expected[i] += distance**2 / 2 / 8
        else:
            expected[i] += max(0, margin - distance) ** 2 / 2 / 8
            active += distance < margin
    assert active
    loss = contrastive_loss(
        tf.constant(descriptors), tf.constant(labels), margin
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_equals_tensorflow_addons():
    """Value and gradient; its loss has no factor of one half."""
    addons = tensorflow_addons()
    descriptors, labels = _batch(1)
    pairs = np.array(list(itertools.combinations(range(9), 2)))
    same = (labels[pairs[:, 0]] == labels[pairs[:, 1]]).astype(np.float32)
    x = tf.constant(descriptors)
    reference = addons.losses.ContrastiveLoss(margin=0.7)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        unit = tf.nn.l2_normalize(x, axis=1)
        distances = tf.norm(
            tf.gather(unit, pairs[:, 0]) - tf.gather(unit, pairs[:, 1]), axis=1
        )
        expected = reference(same, distances) / 2
        loss = tf.reduce_mean(contrastive_loss(x, tf.constant(labels), 0.7))
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(
        tape.gradient(loss, x),
        tape.gradient(expected, x),
        rtol=1e-3,
        atol=1e-6,
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_equal_and_opposite_descriptors_have_finite_gradients(dtype):
    x = tf.cast([[1.0, 2], [1, 2], [1, 2], [-1, -2], [-1, -2]], dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = contrastive_loss(x, tf.constant([0, 0, 1, 0, 2]))
    assert loss.dtype == tf.float32
    assert np.isfinite(loss).all()
    gradient = tape.gradient(loss, x)
    assert np.isfinite(tf.cast(gradient, tf.float32)).all()


def test_one_example_has_no_pairs():
    assert contrastive_loss(tf.ones([1, 4]), tf.constant([3])).numpy() == [0]


def test_bad_margin_is_refused():
    with pytest.raises(ValueError, match="Received: 0"):
        contrastive_loss(tf.ones([2, 4]), tf.constant([0, 1]), 0.0)
