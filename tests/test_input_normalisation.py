"""The input that other weights expect, in networks and their exports."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from small_models import save_run, small_model
from weights_files import pictures, relative_error

from delg_tf.common.errors import InputError
from delg_tf.export.exporter import ExportOptions, export_model
from delg_tf.models.config import INPUT_NORMALISATIONS, DelgConfig
from delg_tf.models.input_normalisation import STATISTICS, InputNormalisation
from delg_tf.models.receptive_field import receptive_field
from delg_tf.models.resnet import build_trunk


def _torchvision(images):
    """ToTensor, then Normalize with ImageNet's statistics."""
    mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    return (images / 255.0 - mean) / deviation


def _keras_applications(images):
    inputs = images.astype(np.float64)
    return keras.applications.resnet.preprocess_input(inputs)[..., ::-1]


EXPECTED = {
    "delg": lambda images: (images - 128.0) / 128,
    "caffe": _keras_applications,
    "torch": _torchvision,
    # vgg_preprocessing.py of TF-Slim: _R_MEAN, _G_MEAN, _B_MEAN.
    "tf_slim": lambda images: images - [123.68, 116.78, 103.94],
}


def test_all_kinds_are_known():
    assert set(INPUT_NORMALISATIONS) == set(STATISTICS) == set(EXPECTED)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("kind", INPUT_NORMALISATIONS)
def test_values_are_those_of_the_other_training(kind, policy):
    images = pictures(9, 7)
    keras.mixed_precision.set_global_policy(policy)
    try:
        layer = InputNormalisation(kind)
        values = layer(tf.constant((images - 128.0) / 128, tf.float32))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert values.dtype == tf.float32
    assert relative_error(values, EXPECTED[kind](images)) < 1e-6
    assert layer.from_config(layer.get_config()).kind == kind


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match=r"`kind` must be one of .*'blue'"):
        InputNormalisation("blue")
    with pytest.raises(InputError, match=r"`input_normalisation`.*blue"):
        DelgConfig(input_normalisation="blue")


def test_receptive_fields_stay():
    fields = [
        receptive_field(
            build_trunk(
                DelgConfig(backbone="resnet_small", input_normalisation=kind)
            ),
            "block3",
            321,
        )
        for kind in ("delg", "caffe")
    ]
    assert fields[0] == fields[1]


def test_exports_carry_it(tmp_path):
    model = small_model(input_normalisation="caffe")
    plain = small_model(seed=1)
    plain.set_weights(model.get_weights())
    run = save_run(tmp_path / "run", model)
    export_model(
        run, tmp_path / "export", ExportOptions(kind="global"), checked=False
    )
    exported = tf.saved_model.load(str(tmp_path / "export"))
    image = pictures(75, 96)[0]
    outputs = exported.signatures["serving_default"](
        input_image=tf.constant(image),
        input_scales=tf.constant([1.0]),
        input_global_scales_ind=tf.constant([0]),
    )
    # A network without the layer that is given what the layer should make.
    inputs = EXPECTED["caffe"](image[np.newaxis])
    expected = plain(tf.constant(inputs, tf.float32))["global_descriptor"]
    assert relative_error(outputs["global_descriptors"], expected) < 1e-5
    # The values matter: other ones give another descriptor.
    inputs = EXPECTED["torch"](image[np.newaxis])
    other = plain(tf.constant(inputs, tf.float32))["global_descriptor"]
    assert relative_error(other, expected) > 0.1
