"""Retrieval among held-out images, as a check of the global descriptor."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from delg_tf.data.pipeline import validation_dataset
from delg_tf.models.delg import Delg
from delg_tf.training.input_errors import input_errors
from delg_tf.training.inputs import Records

# Ascending ranks (from 0) of the right images to average precision.
AveragePrecision = Callable[[np.ndarray], float]


_BATCH = 32


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """The first images of records that are not trained on.

    Attributes:
        records: they are read in the files' order.
        max_images: so many are taken at most.
    """

    records: Records
    max_images: int

    def images(self) -> tf.data.Dataset:
        """Images float32 `[size, size, 3]`, normalised, and int64 labels."""
        records = self.records
        dataset = validation_dataset(records.pipeline, records.index)
        return dataset.unbatch().take(self.max_images)


class Describer:
    """Computes global descriptors at one scale.

    Args:
        model: the network.
    """

    def __init__(self, model: Delg):
        self._model = model

    def describe(self, held_out: HeldOut) -> tuple[np.ndarray, np.ndarray]:
        """Describes images with the network's present weights.

        Returns:
            L2-normalised float32 `[N, embedding_dim]`, and int64 labels `[N]`.

        Raises:
            InputError: an image cannot be read.
        """
        descriptors, labels = [], []
        with input_errors(held_out.records):
            for images, of in held_out.images().batch(_BATCH):
                descriptors.append(self._descriptors(images).numpy())
                labels.append(of.numpy())
        return np.concatenate(descriptors), np.concatenate(labels)

    # A method, so that it is traced once for all calls.
    @tf.function(reduce_retracing=True)
    def _descriptors(self, images: tf.Tensor) -> tf.Tensor:
        trunk = self._model.trunk(images, training=False)
        descriptor, _ = self._model.global_descriptor(trunk["conv5_input"])
        return tf.nn.l2_normalize(tf.cast(descriptor, tf.float32), axis=1)


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
