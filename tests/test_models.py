"""Networks against the official numbers and Keras-Applications."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from delg_tf.common.errors import InputError
from delg_tf.models.config import STRIDE_POSITIONS, DelgConfig
from delg_tf.models.delg import Delg
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
    assert _trainable(model.local_reduction) == 263296
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


# --- configuration --------------------------------------------------------


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
        ("pooling", "mean"),
        ("global_head", "cosine"),
        ("sub_centres", 0),
        ("partial_fc", 0.0),
        ("partial_fc", 1.1),
        ("local_reduction", "pca"),
        ("scale_init", -1.0),
        ("bn_momentum", 1.5),
        ("bn_epsilon", 0.0),
    ],
)
def test_bad_configuration_names_the_field(field, value):
    with pytest.raises(InputError, match=f"`{field}`.*{value}"):
        DelgConfig(**{field: value})


def test_sub_centres_belong_to_arcface():
    with pytest.raises(InputError, match=r"`sub_centres`.*arcface.*2"):
        DelgConfig(global_head="softmax", sub_centres=2)


def test_unknown_names_are_reported():
    with pytest.raises(InputError, match="resnet18"):
        build_trunk(DelgConfig(backbone="resnet18"))
    with pytest.raises(InputError, match="colour"):
        DelgConfig.from_dict({"colour": "blue"})
