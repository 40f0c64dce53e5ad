"""Networks with random weights, small enough for tests."""

import tensorflow as tf
import tf_keras as keras

from delg_tf.models.config import DelgConfig
from delg_tf.models.delg import Delg
from delg_tf.training.trained_model import (
    AttentionStatistics,
    ModelRecord,
    save_trained_model,
)


def small_config(**changes):
    fields = {
        "backbone": "resnet_small",
        "num_classes": 5,
        "embedding_dim": 32,
        "attention_dim": 32,
        "autoencoder_dim": 16,
    }
    return DelgConfig(**(fields | changes))


def small_model(seed=0, **changes):
    keras.utils.set_random_seed(seed)
    model = Delg(small_config(**changes))
    model.build_variables()
    # A fresh normalisation does nothing; a trained one does.
    rng = tf.random.Generator.from_seed(seed)
    for variable in model.variables:
        if variable.name.endswith(("gamma:0", "variance:0")):
            variable.assign(rng.uniform(variable.shape, 0.7, 1.3))
        if variable.name.endswith(("beta:0", "mean:0", "bias:0")):
            variable.assign(rng.uniform(variable.shape, -0.1, 0.1))
    return model


def save_run(logdir, model, attention=(0.25, 0.75), training=None):
    """Saves the network as a finished training would."""
    record = ModelRecord(
        model.config, AttentionStatistics(*attention), training or {}
    )
    save_trained_model(logdir, model, record)
    return logdir
