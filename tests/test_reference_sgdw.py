"""SGD with decoupled weight decay, step by step as tensorflow-addons'."""

import numpy as np
import tensorflow as tf
from reference_addons import tensorflow_addons

from delg_tf.models.config import DelgConfig
from delg_tf.models.delg import Delg
from delg_tf.training.optimizer import GroupedOptimizer
from delg_tf.training.optimizer_config import OptimizerConfig

RATE, DECAY, STEPS = 0.1, 0.02, 5


def test_sgd_with_weight_decay_equals_tensorflow_addons():
    addons = tensorflow_addons()
    model = Delg(DelgConfig("resnet_small", num_classes=3, embedding_dim=8))
    model.build_variables()
    # So long a run that the rate does not fall.
    optimizer = GroupedOptimizer(
        model, OptimizerConfig(initial_lr=RATE, weight_decay=DECAY), 10**9
    )
    ours = optimizer.variables_to_train
    theirs = [tf.Variable(variable.numpy()) for variable in ours]
    kernels = [v for v in theirs if v.shape.rank > 1]
    # There the decay is not multiplied by the learning rate.
    reference = addons.optimizers.SGDW(
        weight_decay=RATE * DECAY, learning_rate=RATE, momentum=0.9
    )
    start = [variable.numpy() for variable in ours]
    random = np.random.default_rng(0)
    for _ in range(STEPS):
        gradients = [
            tf.constant(random.normal(size=v.shape), tf.float32) for v in ours
        ]
        optimizer.apply(gradients)
        reference.apply_gradients(
            zip(gradients, theirs), decay_var_list=kernels
        )
        for one, other in zip(ours, theirs):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert min(np.abs(a - b).max() for a, b in zip(start, ours)) > 0.01
