"""SGD with momentum: Keras' own, and rows by hand."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from delg_tf.training.sgd import MomentumSGD


def _rates():
    return keras.optimizers.schedules.PolynomialDecay(0.1, 5, 0.01)


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}])
def test_dense_gradients_move_as_with_keras(options):
    results = []
    for kind in (MomentumSGD, keras.optimizers.SGD):
        variables = [tf.Variable([[1.0, -2.0], [3.0, 4.0]]), tf.Variable(0.5)]
        optimizer = kind(_rates(), momentum=0.9, **options)
        random = np.random.default_rng(0)
        for _ in range(4):
            gradients = [
                tf.constant(random.normal(size=v.shape), tf.float32)
                for v in variables
            ]
            optimizer.apply_gradients(zip(gradients, variables))
        results.append(variables)
    for ours, expected in zip(*results):
        np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_rows_without_a_gradient_wait():
    variable = tf.Variable(np.ones((4, 2), np.float32))
    optimizer = MomentumSGD(0.1, momentum=0.5)
    weights, velocity = np.ones((4, 2)), np.zeros((4, 2))
    # The third step repeats a row: its gradients add up.
    for rows in ([0, 2], [2, 3], [0, 0]):
        values = np.arange(4.0).reshape(2, 2) + 1
        optimizer.apply_gradients(
            [
                (
                    tf.IndexedSlices(
                        tf.constant(values, tf.float32),
                        tf.constant(rows),
                        tf.constant([4, 2]),
                    ),
                    variable,
                )
            ]
        )
        for row in set(rows):
            gradient = values[np.array(rows) == row].sum(0)
            velocity[row] = 0.5 * velocity[row] - 0.1 * gradient
            weights[row] += velocity[row]
    np.testing.assert_allclose(variable, weights, rtol=1e-6)
    np.testing.assert_array_equal(variable[1], [1, 1])


def test_nesterov_is_refused():
    with pytest.raises(ValueError, match="nesterov"):
        MomentumSGD(nesterov=True)
