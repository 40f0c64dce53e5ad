"""How weights move: schedules, decay, averages, parts, overflow."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from delg_tf.common.errors import InputError
from delg_tf.models.config import DelgConfig
from delg_tf.models.delg import Delg
from delg_tf.training.averaging import WeightAverage
from delg_tf.training.loss_scale import LossScale
from delg_tf.training.losses.total import LossConfig
from delg_tf.training.optimizer import GroupedOptimizer
from delg_tf.training.optimizer_config import OptimizerConfig
from delg_tf.training.parts import GROUPS, freeze, variables_by_part
from delg_tf.training.precision import precision
from delg_tf.training.schedule import WarmupDecay
from delg_tf.training.step import TrainStep

MODEL = DelgConfig(
    backbone="resnet_small",
    num_classes=3,
    embedding_dim=8,
    attention_dim=4,
    autoencoder_dim=4,
)


def _make(steps=10, config=None, kind="float32", jit_compile=False, **changes):
    """Network, optimiser and step of one device."""
    keras.utils.set_random_seed(1)
    config = config or OptimizerConfig(initial_lr=0.1, **changes)
    with precision(kind):
        model = Delg(MODEL)
    freeze(model, config.freeze_backbone, config.freeze_blocks)
    model.build_variables()
    optimizer = GroupedOptimizer(model, config, steps)
    average = None
    if config.ema_decay:
        average = WeightAverage(optimizer.variables_to_train, config.ema_decay)
    step = TrainStep(
        model,
        optimizer,
        tf.distribute.get_strategy(),
        LossConfig(),
        4,
        config,
        LossScale() if kind == "float16" else None,
        average,
        jit_compile,
    )
    return model, optimizer, step


def _batch(seed, count=4):
    random = np.random.default_rng(seed)
    images = random.uniform(-1, 1, (count, 64, 64, 3)).astype(np.float32)
    return tf.constant(images), tf.constant(random.integers(0, 3, count))


def _values(variables):
    return [np.array(variable) for variable in variables]


def test_cosine_schedule():
    schedule = WarmupDecay(0.2, 8, warmup_steps=1, shape="cosine")
    rates = [float(schedule(step)) for step in (0, 2, 4, 8, 9)]
    expected = [0.1, 0.2 * 0.8535534, 0.1, 0, 0]
    np.testing.assert_allclose(rates, expected, atol=1e-7)
    with pytest.raises(ValueError, match="shape"):
        WarmupDecay(0.1, 1, shape="step")


def _gradients(optimizer, seed):
    random = np.random.default_rng(seed)
    return [
        random.normal(size=v.shape).astype(np.float32)
        for v in optimizer.variables_to_train
    ]


def test_sgd_with_decay_and_multipliers_equals_its_definition():
    config = OptimizerConfig(
        initial_lr=0.1,
        weight_decay=0.02,
        lr_multipliers=(("backbone", 0.5), ("block4", 0.25), ("local", 0.0)),
    )
    model, optimizer, _ = _make(config=config)
    factors = {"stem": 0.5, "block1": 0.5, "block2": 0.5, "block3": 0.5}
    factors |= {"block4": 0.25, "attention": 0, "local_reduction": 0}
    factors |= {"local_head": 0}
    factor = {
        id(variable): factors.get(part, 1.0)
        for part, variables in variables_by_part(model).items()
        for variable in variables
    }
    assert sorted(set(factor.values())) == [0, 0.25, 0.5, 1]
    expected = _values(optimizer.variables_to_train)
    velocity = [np.zeros_like(v) for v in expected]
    for step in range(3):
        gradients = _gradients(optimizer, step)
        optimizer.apply([tf.constant(g) for g in gradients])
        for i, variable in enumerate(optimizer.variables_to_train):
            rate = 0.1 * (1 - step / 10) * factor[id(variable)]
            if expected[i].ndim > 1:
                expected[i] -= rate * 0.02 * expected[i]
            velocity[i] = 0.9 * velocity[i] - rate * gradients[i]
            expected[i] += velocity[i]
    for ours, theirs in zip(optimizer.variables_to_train, expected):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_adamw_equals_its_definition():
    _, optimizer, _ = _make(
        config=OptimizerConfig(kind="adamw", initial_lr=0.01, weight_decay=0.1)
    )
    expected = _values(optimizer.variables_to_train)
    first = [np.zeros_like(v) for v in expected]
    second = [np.zeros_like(v) for v in expected]
    for step in range(3):
        gradients = _gradients(optimizer, step)
        optimizer.apply([tf.constant(g) for g in gradients])
        rate = 0.01 * (1 - step / 10)
        for i, g in enumerate(gradients):
            first[i] = 0.9 * first[i] + 0.1 * g
            second[i] = 0.999 * second[i] + 0.001 * g**2
            mean = first[i] / (1 - 0.9 ** (step + 1))
            correction = 1 - 0.999 ** (step + 1)
            if expected[i].ndim > 1:
                expected[i] -= rate * 0.1 * expected[i]
            # Keras adds its epsilon before the correction.
            root = (np.sqrt(second[i]) + 1e-7) / np.sqrt(correction)
            expected[i] -= rate * mean / root
    for ours, theirs in zip(optimizer.variables_to_train, expected):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_average_equals_its_definition_and_is_taken_back():
    _, optimizer, step = _make(ema_decay=0.3)
    average = step._average
    expected = _values(optimizer.variables_to_train)
    for number in range(1, 5):
        step(*_batch(number))
        decay = min(0.3, number / (number + 9))
        for i, variable in enumerate(optimizer.variables_to_train):
            expected[i] = decay * expected[i] + (1 - decay) * variable.numpy()
    weights = _values(optimizer.variables_to_train)
    with average.applied():
        for ours, theirs in zip(optimizer.variables_to_train, expected):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
        assert np.abs(ours - weights[-1]).max() > 0
    for ours, theirs in zip(optimizer.variables_to_train, weights):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("change", ["accumulation_steps", "jit_compile"])
def test_other_ways_to_compute_a_step_give_the_same(change):
    results = []
    for value in (1, 2):
        if change == "jit_compile":
            model, _, step = _make(jit_compile=value == 2)
        else:
            model, _, step = _make(accumulation_steps=value)
        for layer in model.submodules:
            # Statistics are those of a part.
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        metrics = [step(*_batch(number)) for number in range(2)]
        results.append((_values(model.weights), metrics))
    for one, two in zip(results[0][0], results[1][0]):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=2e-6)
    for one, two in zip(results[0][1], results[1][1]):
        for key in one:
            assert float(one[key]) == pytest.approx(float(two[key]), rel=1e-4)


@pytest.mark.parametrize("blocks", [0, 2, "backbone"])
def test_frozen_parts_stay_and_others_move(blocks):
    whole = blocks == "backbone"
    model, _, step = _make(
        freeze_backbone=whole, freeze_blocks=0 if whole else blocks
    )
    layers = {
        "stem": model.trunk.get_layer("conv1_bn"),
        "block2": model.trunk.get_layer("block2_unit1_2_bn"),
        "block3": model.trunk.get_layer("block3_unit1_2_bn"),
        "block4": model.conv5.get_layer("block4_unit1_2_bn"),
        "whitening": model.whitening,
        "attention": model.attention,
    }
    before = {name: _values(layer.weights) for name, layer in layers.items()}
    step(*_batch(0))
    step(*_batch(1))
    moved = {
        name
        for name, layer in layers.items()
        if any(
            np.abs(a - b).max() > 0
            for a, b in zip(before[name], _values(layer.weights))
        )
    }
    frozen = {
        0: set(),
        2: {"stem", "block2"},
        "backbone": {"stem", "block2", "block3", "block4"},
    }[blocks]
    assert moved == layers.keys() - frozen


def test_a_step_that_is_not_finite_changes_nothing_but_the_count():
    model, optimizer, step = _make()
    step(*_batch(0))
    before = _values(model.weights)
    images, labels = _batch(1)
    poisoned = tf.tensor_scatter_nd_update(images, [[2, 5, 5, 0]], [np.inf])
    for bad in (1, 2):
        assert float(step(poisoned, labels)["skipped"]) == 1
        assert int(step.bad_steps) == bad
    for ours, theirs in zip(model.weights, before):
        np.testing.assert_array_equal(ours, theirs)
    assert int(optimizer.iterations) == 3
    assert float(step(images, labels)["skipped"]) == 0
    assert int(step.bad_steps) == 0
    assert np.abs(model.weights[0].numpy() - before[0]).max() > 0


def test_float16_scales_the_loss_and_backs_off():
    model, _, step = _make(kind="float16")
    assert model.trunk.get_layer("conv1_conv").compute_dtype == "float16"
    # As float32 gradients, to what half precision allows.
    reference, _, exact = _make()
    reference.set_weights(model.get_weights())
    step._loss_scale.scale.assign(1024.0)
    half, single = step(*_batch(0)), exact(*_batch(0))
    assert float(half["skipped"]) == 0
    assert float(half["gradient_norm"]) == pytest.approx(
        float(single["gradient_norm"]), rel=0.05
    )
    # Overflow: the scale halves, the weights stay, and nothing is wrong.
    step._loss_scale.scale.assign(2.0**120)
    before = _values(model.weights)
    assert float(step(*_batch(1))["skipped"]) == 1
    assert float(step._loss_scale.scale) == 2.0**119
    assert int(step.bad_steps) == 0
    for ours, theirs in zip(model.weights, before):
        np.testing.assert_array_equal(ours, theirs)
    # 2,000 good steps later it doubles.
    step._loss_scale.scale.assign(512.0)
    step._loss_scale.good_steps.assign(1999)
    step(*_batch(2))
    assert float(step._loss_scale.scale) == 1024.0
    assert int(step._loss_scale.good_steps) == 0


def test_every_part_is_in_a_group():
    model, *_ = _make()
    assert variables_by_part(model).keys() <= GROUPS.keys()
    count = sum(map(len, variables_by_part(model).values()))
    assert count == len(model.trainable_variables)


@pytest.mark.parametrize(
    "field, value",
    [
        ("kind", "adam"),
        ("schedule", "step"),
        ("initial_lr", -0.1),
        ("momentum", 1.0),
        ("weight_decay", -1),
        ("accumulation_steps", 0),
        ("ema_decay", 1.0),
        ("freeze_blocks", 5),
        ("lr_multipliers", (("blocks", 1.0),)),
        ("lr_multipliers", (("block1", -1.0),)),
    ],
)
def test_bad_options_name_the_field(field, value):
    with pytest.raises(InputError, match=f"`{field}`"):
        OptimizerConfig(**{field: value})
