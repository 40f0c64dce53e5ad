"""Sampled classes: what is drawn, and that training stays the same."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from small_models import small_config

from delg_tf.models.class_sampler import ClassSampler
from delg_tf.models.delg import Delg
from delg_tf.training.losses.cross_entropy import cross_entropy
from delg_tf.training.losses.total import LossConfig
from delg_tf.training.optimizer import GroupedOptimizer
from delg_tf.training.optimizer_config import OptimizerConfig
from delg_tf.training.sparse_gradients import sum_repeated_rows
from delg_tf.training.step import TrainStep


@pytest.fixture(scope="module")
def mirrored():
    # More than one strategy in a process can get into each other's way.
    return tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])


def test_the_labels_are_drawn_and_as_many_others():
    labels = tf.constant([3, 17, 3, 90])
    sampler = ClassSampler(100, 0.101)
    seen = set()
    for _ in range(40):
        classes, targets, log_weights = (
            part.numpy() for part in sampler(labels)
        )
        # 10.1 rounded up, without repetition.
        assert len(set(classes)) == len(classes) == 11
        assert (np.diff(classes) > 0).all()
        np.testing.assert_array_equal(classes[targets], labels)
        own = np.isin(classes, labels)
        np.testing.assert_array_equal(log_weights[own], 0)
        # Eight stand for the 97 others.
        np.testing.assert_allclose(np.exp(log_weights[~own]), 97 / 8, 1e-6)
        seen |= set(classes)
    # 0.92^40 of 97 have not been drawn on the average: three or four.
    assert len(seen) > 85


def test_a_batch_of_more_classes_than_the_share():
    labels = tf.constant([1, 4, 5, 2])
    classes, targets, log_weights = ClassSampler(6, 0.2)(labels)
    assert sorted(classes.numpy()) == [1, 2, 4, 5]
    np.testing.assert_array_equal(targets, [0, 2, 3, 1])
    np.testing.assert_array_equal(log_weights, np.zeros(4))


def test_others_are_drawn_evenly_and_estimate_the_whole_sum():
    random = np.random.default_rng(0)
    logits = random.normal(0, 1.5, (2, 30)).astype(np.float32)
    labels = tf.constant([4, 20])
    sampler = ClassSampler(30, 0.3)
    counts, sums, losses = np.zeros(30), [], []
    draw = tf.function(sampler)
    for _ in range(2000):
        sample = draw(labels)
        counts[sample.classes.numpy()] += 1
        columns = tf.gather(logits, sample.classes, axis=1)
        weighted = np.exp(columns + sample.log_weights)
        sums.append(weighted.sum(axis=1))
        losses.append(
            cross_entropy(columns, sample.targets, 0.0, sample.log_weights)
        )
    assert counts[4] == counts[20] == 2000
    others = np.delete(counts, [4, 20]) / 2000
    # 0.011 is the standard deviation.
    np.testing.assert_allclose(others, 7 / 28, atol=0.045)
    np.testing.assert_allclose(
        np.mean(sums, 0), np.exp(logits).sum(1), rtol=0.03
    )
    # Not exactly, as the logarithm is not linear.
    np.testing.assert_allclose(
        np.mean(losses, 0), cross_entropy(logits, labels), rtol=0.1
    )


def test_replicas_draw_their_own_and_a_restart_goes_on(mirrored, tmp_path):
    with mirrored.scope():
        sampler = ClassSampler(1000, 0.05)

    @tf.function
    def draw():
        run = mirrored.run(lambda: sampler(tf.constant([1, 2])).classes)
        return mirrored.experimental_local_results(run)

    draw()
    checkpoint = tf.train.Checkpoint(sampler=sampler)
    path = checkpoint.save(str(tmp_path / "checkpoint"))
    first = [part.numpy() for part in draw()]
    assert len(np.intersect1d(*first)) < 25
    later = [part.numpy() for part in draw()]
    assert len(np.intersect1d(first[0], later[0])) < 25
    checkpoint.restore(path).assert_existing_objects_matched()
    for again, part in zip(draw(), first):
        np.testing.assert_array_equal(again, part)


def test_repeated_rows_are_summed():
    values = tf.constant([[1.0, 2], [3, 4], [5, 6], [7, 8]])
    sparse = tf.IndexedSlices(
        values, tf.constant([4, 0, 4, 2]), tf.constant([6, 2])
    )
    result = sum_repeated_rows(sparse)
    assert len(set(result.indices.numpy())) == len(result.indices) == 3
    np.testing.assert_array_equal(
        tf.convert_to_tensor(result), tf.convert_to_tensor(sparse)
    )
    assert sum_repeated_rows(values) is values


def _run(strategy, share, accumulation_steps=1, **changes):
    """Two steps from the same weights; metrics and weights."""
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    replicas = strategy.num_replicas_in_sync
    config = OptimizerConfig(
        initial_lr=0.05,
        clip_norm=0.5,
        weight_decay=0.1,
        accumulation_steps=accumulation_steps,
    )
    with strategy.scope():
        model = Delg(small_config(num_classes=40, partial_fc=share, **changes))
        model.build_variables()
        for layer in model.submodules:
            # Their statistics would be those of each replica alone.
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        for variable in model.trainable_variables:
            if variable.shape.rank:
                variable.assign(random.normal(0, 0.1, variable.shape))
        optimizer = GroupedOptimizer(model, config, 10)
        loss = LossConfig(label_smoothing=0.1)
        step = TrainStep(model, optimizer, strategy, loss, 8, config)
    metrics = []
    for _ in range(2):
        images = random.uniform(-1, 1, (8, 64, 64, 3)).astype(np.float32)
        labels = random.integers(0, 40, 8)
        # On one replica twice, and on both.
        labels[[1, 5]] = labels[0]

        def share_of(values, size=8 // replicas):
            return strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(
                    values[context.replica_id_in_sync_group * size :][:size]
                )
            )

        metrics.append(step(share_of(images), share_of(labels)))
    weights = [variable.numpy() for variable in model.trainable_variables]
    return metrics, weights


@pytest.mark.parametrize(
    "changes, replicas, parts",
    [
        ({"sub_centres": 2}, 2, 1),
        ({"global_head": "softmax"}, 1, 2),
    ],
    ids=["replicas", "parts"],
)
def test_a_sample_of_all_classes_trains_as_all_classes_do(
    mirrored, changes, replicas, parts
):
    """With sparse gradients: norm, clipping, momentum, decay, replicas."""
    one = tf.distribute.get_strategy()
    metrics, weights = _run(one, 1.0, **changes)
    assert all(row["gradient_norm"] > 0.5 for row in metrics)
    strategy = one if replicas == 1 else mirrored
    others, other_weights = _run(strategy, 0.999, parts, **changes)
    for row, other in zip(metrics, others):
        for key, value in row.items():
            assert float(other[key]) == pytest.approx(float(value), 1e-4)
    for ours, other in zip(weights, other_weights):
        np.testing.assert_allclose(ours, other, rtol=1e-4, atol=1e-6)


def test_gradients_have_the_drawn_rows_only():
    model = Delg(small_config(num_classes=40, partial_fc=0.25))
    images = tf.random.stateless_uniform((4, 64, 64, 3), [0, 1], -1, 1)
    labels = tf.constant([7, 7, 0, 39])
    with tf.GradientTape() as tape:
        outputs = model(images, training=True, labels=labels)
        loss = tf.reduce_sum(outputs["global_logits"] ** 2) + tf.reduce_sum(
            outputs["local_logits"] ** 2
        )
    assert outputs["global_logits"].shape == (4, 10)
    heads = [
        model.global_head.centres,
        model.local_head.kernel,
        model.local_head.bias,
    ]
    for gradient in tape.gradient(loss, heads):
        assert isinstance(gradient, tf.IndexedSlices)
        assert {0, 7, 39} < set(gradient.indices.numpy())
        assert gradient.values.shape[0] == 10
    # Without training, or without labels, all classes.
    for arguments in [{"labels": labels}, {"training": True}]:
        assert model(images, **arguments)["global_logits"].shape == (4, 40)
