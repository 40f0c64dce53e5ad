"""Networks against the official numbers and Keras-Applications."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from delg_tf.common.errors import InputError
from delg_tf.models.attention import Attention, attention_pool
from delg_tf.models.autoencoder import Autoencoder
from delg_tf.models.config import STRIDE_POSITIONS, DelgConfig
from delg_tf.models.cosine_head import CosineHead
from delg_tf.models.delg import Delg
from delg_tf.models.gem import GeM
from delg_tf.models.resnet import build_conv5, build_trunk

# The epsilon of Keras-Applications.
KERAS_EPSILON = 1.001e-5


def _randomise_norms(model, seed=0):
    """Gives every normalisation its own statistics, gain and offset."""
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape[0]
            layer.set_weights(
                [
                    random.uniform(0.5, 1.5, size),
                    random.normal(0, 0.3, size),
                    random.normal(0, 0.3, size),
                    random.uniform(0.5, 1.5, size),
                ]
            )


def _images(height, width, batch=1, seed=0):
    random = np.random.default_rng(seed)
    pixels = random.uniform(-1, 1, (batch, height, width, 3))
    return tf.constant(pixels, tf.float32)


def _relative_error(actual, expected):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    return np.abs(actual - expected).max() / np.abs(expected).max()


def _halved(size, times):
    for _ in range(times):
        size = -(-size // 2)
    return size


# --- shapes ---------------------------------------------------------------


@pytest.mark.parametrize(
    "backbone, position, local_stride",
    [
        *itertools.product(["resnet50"], STRIDE_POSITIONS, [16, 32]),
        ("resnet101", "last_unit", 16),
        ("resnet101", "last_unit", 32),
    ],
)
def test_block_shapes(backbone, position, local_stride):
    config = DelgConfig(
        backbone=backbone, stride_position=position, local_stride=local_stride
    )
    trunk, conv5 = build_trunk(config), build_conv5(config)
    # Times that 2 divides the resolution, rounding up; "last_unit" strides at
    # the end of a stage, the others at its beginning.
    halvings = [3, 4] if position == "last_unit" else [2, 3]
    halvings += [4 if local_stride == 16 else 5, 5]
    for height, width in [(224, 224), (321, 321), (97, 130), (512, 257)]:
        blocks = {
            name: tuple(shape)
            for name, shape in trunk.compute_output_shape(
                (1, height, width, 3)
            ).items()
        }
        blocks["block4"] = tuple(
            conv5.compute_output_shape(blocks.pop("conv5_input"))
        )
        assert blocks == {
            f"block{i + 1}": (
                1,
                _halved(height, halvings[i]),
                _halved(width, halvings[i]),
                256 * 2**i,
            )
            for i in range(4)
        }


def test_symbolic_shapes_are_those_of_the_values():
    config = DelgConfig(backbone="resnet_small", local_stride=16)
    outputs = build_trunk(config)(_images(97, 130))
    assert outputs["block3"].shape[1:3] == (7, 9)
    assert build_conv5(config)(outputs["conv5_input"]).shape[1:3] == (4, 5)


@pytest.mark.parametrize(
    "size, strided, unstrided",
    # Feature-map sides of the official network.
    [(224, 7, 14), (321, 10, 20), (512, 16, 32), (513, 16, 32)],
)
def test_official_stem_gives_official_sizes(size, strided, unstrided):
    for local_stride, expected in [(32, strided), (16, unstrided)]:
        config = DelgConfig(
            backbone="resnet_small",
            stride_position="first_unit_1x1",
            stem="official",
            local_stride=local_stride,
        )
        blocks = build_trunk(config)(tf.zeros([1, size, size, 3]))
        assert blocks["block3"].shape[1:3] == (expected, expected)


@pytest.mark.parametrize("size", [(128, 128), (161, 95)])
@pytest.mark.parametrize("stem", ["tf_slim", "symmetric", "official"])
@pytest.mark.parametrize("position", STRIDE_POSITIONS)
def test_local_strides_show_the_same_features(position, stem, size):
    fine, coarse = (
        Delg(
            DelgConfig(
                backbone="resnet_small",
                num_classes=3,
                stride_position=position,
                stem=stem,
                local_stride=stride,
                embedding_dim=16,
            )
        )
        for stride in (16, 32)
    )
    fine.build_variables()
    coarse.build_variables()
    _randomise_norms(fine.trunk)
    _randomise_norms(fine.conv5)
    coarse.set_weights(fine.get_weights())
    images = _images(*size, batch=2)
    a, b = fine(images), coarse(images)
    assert _relative_error(b["block3"], a["block3"][:, ::2, ::2]) < 1e-5
    for name in ("block4", "global_descriptor", "cosines"):
        assert _relative_error(b[name], a[name]) < 1e-5


# --- parameters -----------------------------------------------------------


def _trainable(*models):
    return sum(
        int(np.prod(variable.shape))
        for model in models
        for variable in model.trainable_variables
    )


def _conv_channels(*models):
    return sum(
        layer.filters
        for model in models
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    )


def test_parameter_counts():
    model = Delg(DelgConfig(num_classes=7))
    model.build_variables()
    assert _trainable(model.attention) == 526337
    assert _trainable(model.autoencoder) == 263296
    # The official backbone has biases, which the normalisations make useless.
    backbone = (model.trunk, model.conv5)
    assert (
        _trainable(*backbone, model.whitening) + _conv_channels(*backbone)
        == 27730944
    )
    assert _trainable(model.local_head) == 1024 * 7 + 7
    assert _trainable(model.global_head) == 2048 * 7 + 1


def test_parameter_count_of_resnet101():
    config = DelgConfig(backbone="resnet101")
    backbone = build_trunk(config), build_conv5(config)
    # sum(np.prod(v.shape) for v in keras.applications.ResNet101(
    #     weights=None, include_top=False).trainable_variables)
    assert _trainable(*backbone) + _conv_channels(*backbone) == 42552832


@pytest.mark.parametrize("position", STRIDE_POSITIONS)
def test_weights_do_not_depend_on_the_stride_position(position):
    config = DelgConfig(backbone="resnet_small")
    other = dataclasses.replace(config, stride_position=position)
    for build in (build_trunk, build_conv5):
        assert [(w.name, w.shape) for w in build(config).weights] == [
            (w.name, w.shape) for w in build(other).weights
        ]


# --- Keras-Applications ---------------------------------------------------


def _copy_from_keras(reference, trunk, conv5):
    """Copies weights layer by layer; convolution biases must be zero."""
    ours = {layer.name: layer for layer in (*trunk.layers, *conv5.layers)}
    branches = {"0": "shortcut", "1": "1", "2": "2", "3": "3"}
    copied = 0
    for layer in reference.layers:
        if not layer.weights:
            continue
        stage, *middle, kind = layer.name.split("_")
        name = "conv1"
        if stage != "conv1":
            block, branch = middle
            name = (
                f"block{int(stage[-1]) - 1}_unit{block.removeprefix('block')}"
                f"_{branches[branch]}"
            )
        target = ours[f"{name}_{kind}"]
        values = layer.get_weights()
        if kind == "conv":
            assert not values.pop().any()
        target.set_weights(values)
        copied += 1
    assert copied == 2 * 53


@pytest.fixture(scope="module")
def keras_resnet50():
    reference = keras.applications.ResNet50(weights=None, include_top=False)
    _randomise_norms(reference)
    return keras.Model(
        reference.input,
        [
            reference.get_layer("conv4_block6_out").output,
            reference.get_layer("conv5_block3_out").output,
        ],
    )


@pytest.mark.parametrize("size", [(128, 128), (97, 145)])
def test_first_unit_1x1_is_keras_applications(keras_resnet50, size):
    config = DelgConfig(
        stride_position="first_unit_1x1",
        local_stride=16,
        bn_epsilon=KERAS_EPSILON,
    )
    trunk, conv5 = build_trunk(config), build_conv5(config)
    _copy_from_keras(keras_resnet50, trunk, conv5)
    images = _images(*size, batch=2)
    blocks = trunk(images)
    expected_block3, expected_block4 = keras_resnet50(images)
    assert _relative_error(blocks["block3"], expected_block3) < 1e-5
    block4 = conv5(blocks["conv5_input"])
    assert _relative_error(block4, expected_block4) < 1e-5


# --- heads ----------------------------------------------------------------


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
    _randomise_norms(keras.Sequential([layer.norm]))
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
            a, b = x[row].astype(float), centres[:, column].astype(float)
            expected = a @ b / np.sqrt((a @ a) * (b @ b))
            assert cosines[row, column].numpy() == pytest.approx(
                expected, abs=1e-6
            )
    assert len(head.trainable_variables) == 2
    fixed = CosineHead(3, scale_init=10.0, learn_scale=False)
    fixed(x)
    assert [v.ref() for v in fixed.trainable_variables] == [fixed.centres.ref()]
    assert fixed.scale.numpy() == 10


def test_local_head_pools_what_the_options_say():
    images = _images(64, 64)
    for use_autoencoder in (True, False):
        model = Delg(
            DelgConfig(
                backbone="resnet_small",
                num_classes=3,
                use_autoencoder=use_autoencoder,
                autoencoder_dim=8,
            )
        )
        outputs = model(images)
        block3 = outputs["block3"]
        features = block3
        if use_autoencoder:
            features = model.autoencoder.decoder(outputs["descriptors"])
            assert outputs["descriptors"].shape[-1] == 8
        else:
            np.testing.assert_array_equal(outputs["descriptors"], block3)
        np.testing.assert_allclose(outputs["features"], features)
        pooled = attention_pool(features, model.attention(block3))
        np.testing.assert_allclose(
            outputs["local_logits"], model.local_head(pooled), rtol=1e-5
        )


@pytest.mark.parametrize(
    "layer",
    [
        GeM(2.0, learn_power=True, epsilon=1e-5),
        Attention(8, 0.9, 1e-4),
        Autoencoder(8),
        CosineHead(5, scale_init=3.0, learn_scale=False),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_are_rebuilt_from_their_configuration(layer):
    config = layer.get_config()
    assert type(layer).from_config(config).get_config() == config


@pytest.mark.parametrize(
    "field, value",
    [
        ("stride_position", "middle"),
        ("stem", "same"),
        ("local_stride", 8),
        ("num_classes", 1),
        ("embedding_dim", 0),
        ("autoencoder_dim", 0),
        ("attention_dim", 0),
        ("gem_power", 0.5),
        ("scale_init", -1.0),
        ("bn_momentum", 1.5),
        ("bn_epsilon", 0.0),
    ],
)
def test_bad_configuration_names_the_field(field, value):
    with pytest.raises(InputError, match=f"`{field}`.*{value}"):
        DelgConfig(**{field: value})


def test_unknown_names_are_reported():
    with pytest.raises(InputError, match="resnet18"):
        build_trunk(DelgConfig(backbone="resnet18"))
    with pytest.raises(InputError, match="colour"):
        DelgConfig.from_dict({"colour": "blue"})


@pytest.mark.parametrize(
    "make",
    [
        lambda: GeM(0.5),
        lambda: GeM(epsilon=0.0),
        lambda: Attention(0),
        lambda: Autoencoder(0),
        lambda: CosineHead(1),
        lambda: CosineHead(3, scale_init=0.0),
    ],
)
def test_layers_refuse_bad_arguments(make):
    with pytest.raises(ValueError, match="Received: "):
        make()
