"""Poolings, attention, reductions and classifiers, each by its definition."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from small_models import small_config

from delg_tf.models.attention import Attention, attention_pool
from delg_tf.models.autoencoder import Autoencoder
from delg_tf.models.class_sampler import ClassSampler
from delg_tf.models.cosine_head import CosineHead
from delg_tf.models.delg import Delg
from delg_tf.models.gem import GeM
from delg_tf.models.linear_head import LinearHead
from delg_tf.models.projection import Projection


def _images():
    return tf.random.stateless_uniform((2, 64, 64, 3), [0, 1], -1, 1)


def test_gem_between_mean_and_maximum():
    x = np.abs(np.random.default_rng(0).normal(size=(2, 5, 3, 4)))
    x = x.astype(np.float32)
    np.testing.assert_allclose(GeM(1.0)(x), x.mean((1, 2)), rtol=1e-6)
    # The mean of n powers is at least the largest one's n-th part.
    largest = x.max((1, 2))
    almost = GeM(60.0)(x).numpy()
    assert (almost <= largest * 1.0001).all()
    assert (almost >= largest * 15 ** (-1 / 60) * 0.9999).all()


@pytest.mark.parametrize("power", [2.5, 3.0])
def test_gem_equals_its_definition(power):
    x = np.random.default_rng(0).normal(size=(2, 5, 3, 4))
    expected = np.empty((2, 4))
    for image in range(2):
        for channel in range(4):
            cells = x[image, :, :, channel].ravel()
            powers = [max(value, 1e-6) ** power for value in cells]
            expected[image, channel] = (sum(powers) / 15) ** (1 / power)
    for learn in (False, True):
        gem = GeM(power, learn_power=learn)
        np.testing.assert_allclose(gem(x.astype(np.float32)), expected, 1e-5)
        assert len(gem.trainable_variables) == learn


def test_gem_of_half_precision_is_computed_in_single():
    # Cubes of these are zero in half precision.
    x = tf.constant(np.full((1, 4, 4, 1), 1e-3), tf.float16)
    np.testing.assert_allclose(GeM(3.0)(x), [[1e-3]], rtol=1e-3)


def test_gem_gradient_is_finite_where_the_map_is_zero():
    x = tf.zeros([1, 3, 3, 2])
    gem = GeM(3.0, learn_power=True)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = gem(x)
    for gradient in tape.gradient(y, [x, gem.p]):
        assert np.isfinite(gradient.numpy()).all()


def test_attention_pool_equals_slow_loops():
    random = np.random.default_rng(1)
    features = random.normal(size=(2, 3, 4, 5))
    scores = random.uniform(0, 2, (2, 3, 4, 1))
    expected = np.zeros((2, 5))
    for image in range(2):
        for row in range(3):
            for column in range(4):
                feature = features[image, row, column]
                length = np.sqrt(sum(value**2 for value in feature))
                expected[image] += (
                    scores[image, row, column, 0] * feature / length / 12
                )
    pooled = attention_pool(tf.constant(features), tf.constant(scores))
    np.testing.assert_allclose(pooled, expected, rtol=1e-5)


def test_attention_equals_its_definition():
    layer = Attention(6, bn_epsilon=1e-3)
    x = np.random.default_rng(0).normal(size=(1, 2, 3, 4)).astype(np.float32)
    layer(x)
    random = np.random.default_rng(1)
    layer.norm.set_weights(
        [random.uniform(0.5, 1.5, 6)]
        + [random.normal(0, 0.3, 6) for _ in range(2)]
        + [random.uniform(0.5, 1.5, 6)]
    )
    w1, b1 = (v.numpy() for v in layer.hidden.weights)
    w2, b2 = (v.numpy() for v in layer.score.weights)
    gamma, beta, mean, variance = (v.numpy() for v in layer.norm.weights)
    hidden = x @ w1[0, 0] + b1
    hidden = gamma * (hidden - mean) / np.sqrt(variance + 1e-3) + beta
    expected = np.log1p(np.exp(np.maximum(hidden, 0) @ w2[0, 0] + b2))
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5)


def test_autoencoder_equals_its_definition():
    layer = Autoencoder(3)
    x = np.random.default_rng(0).normal(size=(1, 2, 3, 4)).astype(np.float32)
    descriptors, reconstruction = layer(x)
    encoder, decoder = (
        layer.encoder.kernel.numpy()[0, 0],
        layer.decoder.kernel.numpy()[0, 0],
    )
    np.testing.assert_allclose(descriptors, x @ encoder, rtol=1e-5, atol=1e-6)
    assert np.asarray(descriptors).min() < 0
    np.testing.assert_allclose(
        reconstruction,
        np.maximum(x @ encoder @ decoder, 0),
        rtol=1e-5,
        atol=1e-6,
    )


def test_cosine_head_equals_its_definition():
    head = CosineHead(3)
    x = np.random.default_rng(0).normal(size=(4, 2048)).astype(np.float32)
    cosines = head(x)
    assert head.scale.numpy() == pytest.approx(45.25, abs=0.01)
    centres = head.centres.numpy()
    for row in range(4):
        for column in range(3):
            a, b = x[row].astype(float), centres[column].astype(float)
            expected = a @ b / np.sqrt((a @ a) * (b @ b))
            assert cosines[row, column].numpy() == pytest.approx(
                expected, abs=1e-6
            )
    assert len(head.trainable_variables) == 2
    fixed = CosineHead(3, scale_init=10.0, learn_scale=False)
    fixed(x)
    assert [v.ref() for v in fixed.trainable_variables] == [fixed.centres.ref()]
    assert fixed.scale.numpy() == 10


def test_cosine_gradients_are_the_automatic_ones():
    """In double precision, from the definition."""
    random = np.random.default_rng(0)
    x = tf.constant(random.normal(size=(2, 5)))
    centres = tf.constant(random.normal(size=(6, 5)))
    weights = random.normal(size=(2, 3))
    head = CosineHead(3, sub_centres=2)
    head(tf.zeros([1, 5]))
    head.centres.assign(tf.cast(centres, tf.float32))
    single = tf.cast(x, tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, centres, single])
        a, b = (t / tf.norm(t, axis=1, keepdims=True) for t in (x, centres))
        cosines = tf.reduce_max(tf.reshape(a @ tf.transpose(b), (2, 3, 2)), 2)
        expected = tf.reduce_sum(cosines * weights)
        result = tf.reduce_sum(head(single) * weights.astype(np.float32))
    for ours, definition in zip(
        tape.gradient(result, [single, head.centres]),
        tape.gradient(expected, [x, centres]),
    ):
        np.testing.assert_allclose(ours, definition, rtol=1e-4, atol=1e-6)


def test_the_nearest_sub_centre_counts():
    head = CosineHead(2, sub_centres=3)
    head(tf.zeros([1, 2]))
    angles = np.deg2rad([0, 90, 180, 30, 60, 270])
    head.centres.assign(np.stack([np.cos(angles), np.sin(angles)], 1) * 7)
    for degrees, expected in [(0, (0, 30)), (50, (40, 10)), (200, (20, 70))]:
        angle = np.deg2rad(degrees)
        x = [[3 * np.cos(angle), 3 * np.sin(angle)]]
        np.testing.assert_allclose(
            head(np.array(x, np.float32))[0],
            np.cos(np.deg2rad(expected)),
            atol=1e-6,
        )


@pytest.mark.parametrize(
    "length", [0.0, 1e-20, 1e15], ids=["zero", "tiny", "huge"]
)
def test_cosines_are_finite_for_any_length(length):
    head = CosineHead(2, sub_centres=2)
    x = tf.constant([[length, 0.0], [length, length]])
    head(x)
    head.centres.assign(
        [[length, 0], [0, length], [-length, length], [0.0, 0.0]]
    )
    with tf.GradientTape() as tape:
        tape.watch(x)
        cosines = head(x)
    assert np.abs(cosines).max() <= 1 + 1e-6
    for gradient in tape.gradient(cosines, [x, head.centres]):
        assert np.isfinite(np.asarray(gradient)).all()


def test_linear_head_is_a_dense_layer():
    x = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    head, dense = LinearHead(5), keras.layers.Dense(5)
    head(x)
    dense(x)
    dense.bias.assign(tf.range(5.0))
    kernel, bias = dense.get_weights()
    head.set_weights([kernel.T, bias])
    np.testing.assert_allclose(head(x), dense(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "head",
    [CosineHead(7), CosineHead(7, sub_centres=3), LinearHead(7)],
    ids=["cosine", "sub-centres", "linear"],
)
def test_some_classes_have_the_columns_of_all(head):
    x = tf.constant(np.random.default_rng(0).normal(size=(4, 6)), tf.float32)
    classes = tf.constant([5, 0, 3])
    every = head(x)
    with tf.GradientTape(persistent=True) as tape:
        some = tf.reduce_sum(head(x, classes) ** 2)
        same = tf.reduce_sum(tf.gather(head(x), classes, axis=1) ** 2)
    np.testing.assert_allclose(
        head(x, classes), every.numpy()[:, [5, 0, 3]], rtol=1e-6
    )
    variables = [v for v in head.trainable_variables if v.shape.rank]
    for gradient, dense in zip(
        tape.gradient(some, variables), tape.gradient(same, variables)
    ):
        # Of the rows read, and no others.
        assert isinstance(gradient, tf.IndexedSlices)
        assert gradient.values.shape[0] == 3 * dense.shape[0] // 7
        np.testing.assert_allclose(
            tf.convert_to_tensor(gradient), dense, rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("reduction", ["autoencoder", "fc", "none"])
def test_local_head_pools_what_the_options_say(reduction):
    model = Delg(small_config(local_reduction=reduction, autoencoder_dim=8))
    outputs = model(_images())
    block3 = outputs["block3"]
    features = descriptors = block3
    if reduction != "none":
        encoder = model.local_reduction.encoder
        assert encoder.kernel.shape == (1, 1, 256, 8)
        features = descriptors = encoder(block3)
    if reduction == "autoencoder":
        features = model.local_reduction.decoder(descriptors)
        np.testing.assert_array_equal(outputs["block3_target"], block3)
    else:
        assert "block3_target" not in outputs
    np.testing.assert_allclose(outputs["descriptors"], descriptors)
    np.testing.assert_allclose(outputs["features"], features)
    pooled = attention_pool(features, model.attention(block3))
    np.testing.assert_allclose(
        outputs["local_logits"], model.local_head(pooled), rtol=1e-5
    )


@pytest.mark.parametrize("pooling", ["gem", "spoc", "mac"])
def test_global_descriptor_pools_what_the_options_say(pooling):
    model = Delg(small_config(pooling=pooling))
    outputs = model(_images())
    cells = np.maximum(outputs["block4"].numpy().reshape(2, 4, -1), 1e-6)
    expected = {
        "gem": (cells**3).mean(1) ** (1 / 3),
        "spoc": cells.mean(1),
        "mac": cells.max(1),
    }
    np.testing.assert_allclose(
        outputs["global_descriptor"],
        model.whitening(expected[pooling]),
        rtol=1e-4,
        atol=1e-4,
    )


def test_global_logits_are_those_of_the_head():
    outputs = {
        head: Delg(small_config(global_head=head))(_images())
        for head in ("arcface", "softmax")
    }
    arcface = outputs["arcface"]
    np.testing.assert_allclose(
        arcface["global_logits"], np.sqrt(32) * arcface["cosines"], rtol=1e-6
    )
    assert "cosines" not in outputs["softmax"]
    assert outputs["softmax"]["global_logits"].shape == (2, 5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize(
    "changes",
    [
        {"partial_fc": 0.5, "sub_centres": 2},
        {"global_head": "softmax", "pooling": "mac", "local_reduction": "fc"},
        {"pooling": "spoc", "local_reduction": "none"},
    ],
    ids=["arcface", "softmax", "spoc"],
)
def test_descriptors_and_logits_are_single_precision(policy, changes):
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = Delg(small_config(**changes))
        labels = tf.constant([0, 3])
        outputs = model(_images(), training=True, labels=labels)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    half = policy.removeprefix("mixed_")
    assert outputs["block4"].dtype == outputs["descriptors"].dtype == half
    for name, value in outputs.items():
        if name in ("scale", "log_weights", "cosines", "scores") or (
            name.startswith("global_") or name.endswith("_logits")
        ):
            assert value.dtype == tf.float32, name


@pytest.mark.parametrize(
    "layer",
    [
        GeM(2.0, learn_power=True, epsilon=1e-5),
        Attention(8, 0.9, 1e-4),
        Autoencoder(8),
        CosineHead(5, scale_init=3.0, learn_scale=False, sub_centres=2),
        LinearHead(5),
        Projection(8),
        ClassSampler(8, 0.25),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_are_rebuilt_from_their_configuration(layer):
    config = layer.get_config()
    assert type(layer).from_config(config).get_config() == config


@pytest.mark.parametrize(
    "make",
    [
        lambda: GeM(0.5),
        lambda: GeM(epsilon=0.0),
        lambda: Attention(0),
        lambda: Autoencoder(0),
        lambda: CosineHead(1),
        lambda: CosineHead(3, scale_init=0.0),
        lambda: CosineHead(3, sub_centres=0),
        lambda: LinearHead(1),
        lambda: Projection(0),
        lambda: ClassSampler(8, 0.0),
        lambda: ClassSampler(8, 1.0),
    ],
)
def test_layers_refuse_bad_arguments(make):
    with pytest.raises(ValueError, match="Received: "):
        make()
