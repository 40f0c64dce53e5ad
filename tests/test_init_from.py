"""Starting from a network of ours: what its weights mean goes with them."""

import dataclasses
import logging

import numpy as np
import pytest
import tensorflow as tf
from small_models import save_run, small_config, small_model

from delg_tf.common.errors import InputError
from delg_tf.models import resnet
from delg_tf.models.delg import Delg
from delg_tf.models.stored_config import stored_config
from delg_tf.training import initialisation
from delg_tf.training.initialisation import start_from

LEARNED_POWER = 2.75


@pytest.fixture(scope="module")
def source():
    return small_model(1, learn_gem_power=True, global_head="arcface")


@pytest.fixture(scope="module")
def logdir(source, tmp_path_factory):
    source.pooling.p.assign(LEARNED_POWER)
    source.global_head.scale.assign(9.0)
    return str(save_run(tmp_path_factory.mktemp("source"), source))


def _network(**changes):
    config = small_config(learn_gem_power=True)
    model = Delg(dataclasses.replace(config, **changes))
    model.build_variables()
    return model


def _images():
    return tf.random.stateless_uniform([2, 96, 96, 3], [1, 2], -1.0, 1.0)


def _outputs(model, keys=("global_descriptor", "descriptors", "scores")):
    outputs = model(_images())
    return {key: outputs[key].numpy() for key in keys}


def test_another_epsilon_is_made_up_for(source, logdir):
    model = _network(bn_epsilon=1e-5)
    start_from(model, logdir)
    expected = _outputs(source)
    for key, value in _outputs(model).items():
        np.testing.assert_allclose(value, expected[key], rtol=1e-3, atol=1e-4)
    # Which is not so without it.
    for ours, theirs in zip(model.weights, source.weights, strict=True):
        ours.assign(theirs)
    change = np.abs(_outputs(model)["scores"] - expected["scores"]).max()
    assert change > 1e-3 * np.abs(expected["scores"]).max()


@pytest.mark.parametrize(
    "field, value",
    [
        ("input_normalisation", "caffe"),
        ("stride_position", "first_unit_3x3"),
        ("stem", "official"),
    ],
)
def test_another_meaning_is_refused(logdir, field, value):
    model = _network(**{field: value})
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(InputError, match=rf"`{field}`.*'{value}'.*--{field}"):
        start_from(model, logdir)
    for weight, value in zip(model.weights, before):
        np.testing.assert_array_equal(weight, value)


def test_the_stem_that_belongs_to_the_strides_may_be_named(logdir):
    start_from(_network(stem="tf_slim"), logdir)


@pytest.fixture
def deep(tmp_path, monkeypatch):
    """A deeper network, which has all that the small one has, and more."""
    architecture = resnet.Architecture((1, 1, 3, 1), width=16)
    monkeypatch.setitem(resnet.ARCHITECTURES, "deeper", architecture)
    return str(save_run(tmp_path / "deep", small_model(2, backbone="deeper")))


def test_a_deeper_network_is_refused(deep, monkeypatch):
    model = _network()
    with pytest.raises(InputError, match=r"`backbone` 'deeper'.*resnet_small"):
        start_from(model, deep)
    # Also if nothing but the weights tells.
    monkeypatch.setattr(initialisation, "source_config", lambda path: None)
    with pytest.raises(InputError, match=r"block3_unit3.* left over"):
        start_from(model, deep)


def test_a_source_that_tells_nothing_is_warned_of(logdir, monkeypatch, caplog):
    monkeypatch.setattr(initialisation, "source_config", lambda path: None)
    start_from(_network(), logdir)
    assert "does not tell how its network was trained" in caplog.text


def test_classifiers_are_taken_whole_or_not_at_all(source, logdir):
    model = _network()
    start_from(model, logdir)
    for ours, theirs in zip(model.weights, source.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    other = _network(num_classes=7)
    start = float(other.global_head.scale)
    start_from(other, logdir)
    assert float(other.global_head.scale) == start != 9.0
    assert not np.any(other.local_head.bias)
    np.testing.assert_array_equal(
        other.whitening.kernel, source.whitening.kernel
    )
    # A start value that was asked for is kept.
    asked = _network(scale_init=4.0)
    start_from(asked, logdir)
    assert float(asked.global_head.scale) == 4.0
    np.testing.assert_array_equal(
        asked.global_head.centres, source.global_head.centres
    )
    softmax = _network(global_head="softmax")
    start_from(softmax, logdir)
    assert not np.any(softmax.global_head.bias)


def test_the_learned_power_is_taken_unless_flags_say_otherwise(logdir, caplog):
    model = _network()
    with caplog.at_level(logging.WARNING):
        start_from(model, logdir)
        assert not caplog.text
        assert float(model.pooling.p) == LEARNED_POWER
        model = _network(gem_power=4.0)
        start_from(model, logdir)
        assert float(model.pooling.p) == 4.0
        assert "`gem_power` 3.0, and this network has 4.0" in caplog.text
        start_from(_network(learn_gem_power=False), logdir)
        assert "trained to 2.75 there, and is 3 here" in caplog.text
        start_from(_network(pooling="spoc", learn_gem_power=False), logdir)
        assert "`pooling` gem, and this network has spoc" in caplog.text


def test_damaged_descriptions_are_refused(tmp_path):
    assert stored_config(tmp_path) is None
    (tmp_path / "model.json").write_text('{"attention": {}}')
    with pytest.raises(InputError, match=r"model\.json is incomplete"):
        stored_config(tmp_path)
