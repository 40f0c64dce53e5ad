"""Attention thresholds of a trained network."""

import numpy as np
import tensorflow as tf

from delg_tf.models.delg import Delg
from delg_tf.training.trained_model import AttentionStatistics

# Images whose scores are taken.
IMAGES = 2048


def attention_statistics(
    model: Delg, dataset: tf.data.Dataset, batch_size: int
) -> AttentionStatistics:
    """Percentiles of the scores over training images, as at inference.

    Args:
        model: the trained network.
        dataset: training batches; the first 2,048 images are taken.
        batch_size: images of a batch.
    """

    @tf.function
    def scores(images: tf.Tensor) -> tf.Tensor:
        block3 = model.trunk(images, training=False)["block3"]
        return model.attention(block3, training=False)

    batches = dataset.take(max(1, IMAGES // batch_size))
    return AttentionStatistics.of(
        np.concatenate(
            [scores(images).numpy().ravel() for images, _ in batches]
        )
    )
