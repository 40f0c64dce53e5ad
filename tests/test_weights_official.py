"""Weights of the official trainer, DELF and DELG."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from official_networks import official_network
from weights_files import network_for, pictures, relative_error

from delg_tf.common.errors import InputError
from delg_tf.weights.assign import variables_by_name
from delg_tf.weights.load import describe, load_pretrained

GLOBAL = ("block4", "global_descriptor", "global_logits")
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
LOCAL = ("block3", "scores", "descriptors", "features", "local_logits")


@pytest.fixture(scope="module")
def delg():
    return official_network(embedding_dim=16)


@pytest.fixture(scope="module")
def weights(delg, tmp_path_factory):
    prefix = str(tmp_path_factory.mktemp("official") / "delf_weights")
    delg.save_weights(prefix)
    return prefix


def _check(model, official, names):
    images = (np.float32(pictures(101, 128, batch=2)) - 128) / 128
    expected, outputs = official(images), model(images)
    for name in names:
        assert relative_error(outputs[name], expected[name]) < 1e-5, name


def test_delg(delg, weights):
    source = describe(weights)
    assert source.config_fields() == {
        "backbone": "resnet_small",
        "input_normalisation": "delg",
        "stride_position": "first_unit_1x1",
        "stem": "official",
    }
    assert source.sizes == {
        "num_classes": 5,
        "embedding_dim": 16,
        "attention_dim": 8,
        "autoencoder_dim": 4,
    }
    model = network_for(source)
    report = load_pretrained(model, weights)
    _check(model, delg, GLOBAL + LOCAL)
    # Nothing keeps its random start.
    assert sum(report.variables.values()) == len(variables_by_name(model))
    assert (report.skipped, report.untouched) == ({}, ())
    assert set(report.left_out) <= {
        "save_counter/.ATTRIBUTES/VARIABLE_VALUE",
        "_CHECKPOINTABLE_OBJECT_GRAPH",
    }


@pytest.mark.parametrize("use_autoencoder", [True, False])
def test_delf(tmp_path, use_autoencoder):
    official = official_network(use_autoencoder=use_autoencoder)
    prefix = str(tmp_path / "delf_weights")
    official.save_weights(prefix)
    model = network_for(
        describe(prefix + ".index"),
        local_reduction="autoencoder" if use_autoencoder else "none",
    )
    report = load_pretrained(model, prefix)
    _check(model, official, ("block4", *LOCAL))
    assert report.untouched == ("whitening", "global_head")
    kept = [name.split("/")[0] for name in report.left_out]
    assert kept.count("desc_classification") == 2


def test_training_checkpoint(delg, weights, tmp_path):
    optimizer = keras.optimizers.legacy.SGD(0.0, momentum=0.9)
    variables = delg.trainable_variables
    optimizer.apply_gradients((tf.zeros_like(v), v) for v in variables)
    prefix = tf.train.Checkpoint(model=delg, optimizer=optimizer).save(
        str(tmp_path / "delf")
    )
    model = network_for(describe(prefix))
    report = load_pretrained(model, prefix)
    _check(model, delg, GLOBAL + LOCAL)
    slots = [n for n in report.left_out if n.endswith("momentum" + VALUE)]
    assert len([n for n in slots if "OPTIMIZER_SLOT" in n]) == len(variables)


def test_classes_of_another_task_get_a_new_classifier(delg, weights):
    model = network_for(describe(weights), num_classes=9)
    before = model.local_head.get_weights() + model.global_head.get_weights()
    report = load_pretrained(model, weights)
    assert set(report.skipped) == {"global_head", "local_head"}
    assert "(5, 16), the network's (9, 16)" in report.skipped["global_head"]
    after = model.local_head.get_weights() + model.global_head.get_weights()
    for old, new in zip(before, after):
        np.testing.assert_array_equal(old, new)
    _check(model, delg, ("global_descriptor", "descriptors"))


@pytest.mark.parametrize(
    "changes, skipped",
    [
        ({"global_head": "softmax"}, {"global_head": "another kind"}),
        ({"sub_centres": 2}, {"global_head": "(10, 16)"}),
        ({"local_reduction": "none"}, {"local_reduction": "has none"}),
        (
            {"local_reduction": "fc"},
            {"local_reduction": "otherwise", "local_head": "(5, 256)"},
        ),
    ],
)
def test_parts_without_a_counterpart_are_reported(weights, changes, skipped):
    model = network_for(describe(weights), **changes)
    report = load_pretrained(model, weights)
    assert report.skipped.keys() == skipped.keys()
    for part, words in skipped.items():
        assert words in report.skipped[part]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"embedding_dim": 8}, r"whitening/bias is \(16,\) instead of \(8,\)"),
        ({"attention_dim": 4}, r"attention/hidden/bias is \(8,\) instead of"),
        ({"autoencoder_dim": 2}, r"local_reduction/encoder/bias is \(4,\)"),
    ],
)
def test_a_network_of_other_sizes_is_refused(weights, changes, words):
    model = network_for(describe(weights), **changes)
    with pytest.raises(InputError, match=words):
        load_pretrained(model, weights)


def _write(prefix, arrays):
    """A checkpoint with these keys, made of nothing but variables."""
    root = tf.Module()
    for key, array in arrays.items():
        place = root
        *path, last = key.split("/")
        for attribute in path:
            if not hasattr(place, attribute):
                setattr(place, attribute, tf.Module())
            place = getattr(place, attribute)
        setattr(place, last, tf.Variable(array))
    return tf.train.Checkpoint(root).write(prefix)


@pytest.mark.parametrize(
    "lost, words",
    [
        ("scale_factor", r"1 missing: global_head/scale\."),
        ("backbone/l4b/bn2c/beta", r"1 missing: block3_unit2_3_bn/beta\."),
        ("attention/", "has no attention"),
        (None, r"no part of a .*: foo/bar"),
    ],
)
def test_incomplete_and_foreign_checkpoints(weights, tmp_path, lost, words):
    reader = tf.train.load_checkpoint(weights)
    arrays = {
        key.removesuffix(VALUE): reader.get_tensor(key)
        for key in reader.get_variable_to_shape_map()
        if key.endswith(VALUE) and (lost is None or not key.startswith(lost))
    }
    arrays.pop("save_counter", None)
    if lost is None:
        arrays["foo/bar"] = np.zeros(2, np.float32)
    prefix = _write(str(tmp_path / "changed"), arrays)
    model = network_for(describe(weights))
    with pytest.raises(InputError, match=words):
        load_pretrained(model, prefix)
