"""Attention thresholds of a trained network."""

import numpy as np
import tensorflow as tf

from delg_tf.models.delg import Delg
from delg_tf.training.trained_model import AttentionStatistics

# Images whose scores are taken.
IMAGES = 2048


class AttentionScores:
    """Scores of a network, as at inference.

    Args:
        model: the network.
    """

    def __init__(self, model: Delg):
        self._model = model

    def statistics(
        self, dataset: tf.data.Dataset, batch_size: int
    ) -> AttentionStatistics:
        """Percentiles of the scores over training images.

        Args:
            dataset: training batches; the first 2,048 images are taken.
            batch_size: images of a batch.
        """
        batches = dataset.take(max(1, IMAGES // batch_size))
        return AttentionStatistics.of(
            np.concatenate(
                [self._scores(images).numpy().ravel() for images, _ in batches]
            )
        )

    # A method, so that it is traced once for all calls.
    @tf.function(reduce_retracing=True)
    def _scores(self, images: tf.Tensor) -> tf.Tensor:
        block3 = self._model.trunk(images, training=False)["block3"]
        return self._model.attention(block3, training=False)
