"""Retrieval among held-out images, as a check of the global descriptor."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from delg_tf.models.delg import Delg

# Ascending ranks (from 0) of the right images to average precision.
AveragePrecision = Callable[[np.ndarray], float]


def describe_images(
    model: Delg, dataset: tf.data.Dataset, max_images: int
) -> tuple[np.ndarray, np.ndarray]:
    """Computes global descriptors at one scale.

    Args:
        model: the network.
        dataset: batches of images and labels.
        max_images: so many are taken at most.

    Returns:
        L2-normalised float32 `[N, embedding_dim]`, and int labels `[N]`.
    """

    @tf.function(reduce_retracing=True)
    def describe(images: tf.Tensor) -> tf.Tensor:
        trunk = model.trunk(images, training=False)
        descriptor, _ = model.global_descriptor(trunk["conv5_input"])
        return tf.nn.l2_normalize(tf.cast(descriptor, tf.float32), axis=1)

    descriptors, labels = [], []
    for images, batch_labels in dataset.unbatch().take(max_images).batch(32):
        descriptors.append(describe(images).numpy())
        labels.append(batch_labels.numpy())
    return np.concatenate(descriptors), np.concatenate(labels)


def mean_average_precision(
    descriptors: np.ndarray,
    labels: np.ndarray,
    average_precision: AveragePrecision,
) -> float:
    """Searches each image among all others; those of its class are right.

    Args:
        descriptors: `[N, D]`, L2-normalised.
        labels: int `[N]`.
        average_precision: of one query.

    Returns:
        The mean over images whose class has another one, from 0 to 1; NaN if
        there are none.
    """
    values = []
    for query, similarities in enumerate(descriptors @ descriptors.T):
        ranking = np.argsort(-similarities, kind="stable")
        ranking = ranking[ranking != query]
        ranks = np.flatnonzero(labels[ranking] == labels[query])
        if len(ranks):
            values.append(average_precision(ranks))
    return float(np.mean(values)) if values else float("nan")
