"""Weights of Keras-Applications, in each layout that Keras has written."""

import dataclasses
import re

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from weights_files import blocks, network_for, pictures, relative_error

from delg_tf.common.errors import InputError
from delg_tf.weights.load import describe, load_pretrained, read_pretrained
from delg_tf.weights.source import WeightsSource

# Layers of Keras-Applications whose outputs are block3 and block4.
OUTPUTS = {
    "resnet50": ("conv4_block6_out", "conv5_block3_out"),
    "resnet101": ("conv4_block23_out", "conv5_block3_out"),
    "resnet152": ("conv4_block36_out", "conv5_block3_out"),
}
BUILDERS = {
    "resnet50": keras.applications.ResNet50,
    "resnet101": keras.applications.ResNet101,
    "resnet152": keras.applications.ResNet152,
}

DESCRIPTION = WeightsSource(
    path="",
    format="keras",
    backbone="resnet50",
    input_normalisation="caffe",
    stride_position="first_unit_1x1",
    stem="symmetric",
    bn_epsilon=1.001e-5,
)


def _randomise(model, seed=0):
    """Gives biases and normalisations values that matter."""
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            bias = random.normal(0, 0.5, layer.filters)
            layer.set_weights([layer.get_weights()[0], bias])
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


def _reference(backbone):
    keras.utils.set_random_seed(0)
    model = BUILDERS[backbone](weights=None, include_top=False)
    _randomise(model)
    return model


@pytest.fixture(scope="module")
def reference():
    return _reference("resnet50")


def _expected(model, backbone, images):
    outputs = [model.get_layer(name).output for name in OUTPUTS[backbone]]
    # Keras-Applications' own preprocessing; it works in place.
    inputs = keras.applications.resnet.preprocess_input(np.float32(images))
    return keras.Model(model.input, outputs)(inputs)


@pytest.fixture(scope="module")
def network(reference):
    """A network for the weights of `reference`, made once."""
    return network_for(DESCRIPTION, local_stride=16)


def _check(path, model, network, sizes):
    source = describe(path)
    assert dataclasses.replace(source, path="") == dataclasses.replace(
        DESCRIPTION, backbone=network.config.backbone
    )
    for variable in network.variables:
        variable.assign(tf.zeros_like(variable))
    report = load_pretrained(network, path)
    for size in sizes:
        images = pictures(*size)
        expected = _expected(model, network.config.backbone, images)
        for actual, wanted in zip(blocks(network, images), expected):
            assert relative_error(actual, wanted) < 1e-5
    return report


def test_features_are_those_of_keras_applications(reference, network, tmp_path):
    reference.save_weights(tmp_path / "notop.h5")
    sizes = [(64, 96), (101, 75), (95, 130)]
    _check(tmp_path / "notop.h5", reference, network, sizes)


def test_numbered_layers(reference, network, tmp_path):
    # Late Keras 2 writes numbers where Keras 3 writes names, too.
    path = tmp_path / "numbers.weights.h5"
    reference.save_weights(path)
    with h5py.File(path) as file:
        assert "name" not in file["layers/conv2d_5/vars"].attrs
    _check(path, reference, network, [(75, 64)])


def test_weights_of_keras_3(reference, network, tmp_path):
    keras3 = pytest.importorskip("keras", reason="Keras 3 is not installed")
    other = keras3.applications.ResNet50(weights=None, include_top=True)
    names = {layer.name: layer for layer in other.layers}
    for layer in reference.layers:
        if layer.weights:
            names[layer.name].set_weights(layer.get_weights())
    path = tmp_path / "keras3.weights.h5"
    other.save_weights(path)
    with h5py.File(path) as file:
        assert file["layers/conv2d/vars"].attrs["name"] == "conv1_conv"
    report = _check(path, reference, network, [(75, 64)])
    assert set(report.left_out) == {"predictions/kernel", "predictions/bias"}


def test_whole_models(reference, network, tmp_path):
    reference.save(tmp_path / "model.h5")
    _check(tmp_path / "model.h5", reference, network, [(75, 64)])


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet101", "resnet152"])
def test_deeper_networks(backbone, tmp_path):
    model = _reference(backbone)
    source = dataclasses.replace(DESCRIPTION, backbone=backbone)
    network = network_for(source, local_stride=16)
    for name in ("notop.h5", "numbers.weights.h5"):
        model.save_weights(tmp_path / name)
        _check(tmp_path / name, model, network, [(75, 64)])


# --- the names of the first ResNet50 in Keras ------------------------------


def _old_name(layer):
    """E.g. conv4_block2_1_bn -> bn4b_branch2a."""
    if layer.startswith("conv1"):
        return "conv1" if layer.endswith("conv") else "bn_conv1"
    stage, unit, part, kind = re.match(
        r"conv(\d)_block(\d+)_(\d)_(\w+)", layer
    ).groups()
    branch = {"0": "1", "1": "2a", "2": "2b", "3": "2c"}[part]
    letter = "abcdef"[int(unit) - 1]
    return f"{'res' if kind == 'conv' else 'bn'}{stage}{letter}_branch{branch}"


@pytest.mark.parametrize("names", ["new variables", "old variables"])
def test_layer_names_of_the_first_resnet50(reference, tmp_path, names):
    if names == "old variables":
        variables = {
            "Conv2D": ["{}_W:0", "{}_b:0"],
            "BatchNormalization": [
                *("{}_gamma:0", "{}_beta:0"),
                *("{}_running_mean:0", "{}_running_std:0"),
            ],
        }
    else:
        variables = {
            "Conv2D": ["{}/kernel:0", "{}/bias:0"],
            "BatchNormalization": [
                *("{}/gamma:0", "{}/beta:0"),
                *("{}/moving_mean:0", "{}/moving_variance:0"),
            ],
        }
    with h5py.File(tmp_path / "old.h5", "w") as file:
        for layer in reference.layers:
            if not layer.weights:
                continue
            name = _old_name(layer.name)
            group = file.create_group(name)
            arrays = layer.get_weights()
            for variable, array in zip(variables[type(layer).__name__], arrays):
                group[variable.format(name)] = array
    reference.save_weights(tmp_path / "new.h5")
    old = read_pretrained(tmp_path / "old.h5")
    new = read_pretrained(tmp_path / "new.h5")
    # The first one kept Keras' default.
    assert (old.source.bn_epsilon, new.source.bn_epsilon) == (1e-3, 1.001e-5)
    assert old.arrays.keys() == new.arrays.keys()
    for name, array in new.arrays.items():
        np.testing.assert_array_equal(old.arrays[name], array)


# --- bad files --------------------------------------------------------------


def test_other_networks_are_refused(tmp_path):
    model = keras.applications.ResNet50V2(weights=None, include_top=False)
    model.save_weights(tmp_path / "v2.h5")
    with pytest.raises(InputError, match=r"v2\.h5 holds another family"):
        describe(tmp_path / "v2.h5")
    keras.applications.MobileNet(
        (64, 64, 3), weights=None, include_top=False
    ).save_weights(tmp_path / "mobile.h5")
    with pytest.raises(InputError, match=r"mobile\.h5.*no part of a ResNet v1"):
        describe(tmp_path / "mobile.h5")


@pytest.mark.parametrize("layout", ["notop.h5", "numbers.weights.h5"])
def test_one_array_less(reference, network, tmp_path, layout):
    path = tmp_path / layout
    reference.save_weights(path)
    lost = {
        "notop.h5": "conv3_block2_2_bn/conv3_block2_2_bn/gamma:0",
        "numbers.weights.h5": "layers/batch_normalization_16/vars/0",
    }[layout]
    with h5py.File(path, "a") as file:
        del file[lost]
    with pytest.raises(InputError, match=r"1 missing: block2_unit2_2_bn/gamma"):
        load_pretrained(network, path)
