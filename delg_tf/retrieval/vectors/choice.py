"""Descriptors of any kind: training, writing, opening."""

import pathlib

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.retrieval.vectors.base import Vectors
from delg_tf.retrieval.vectors.flat import FlatVectors
from delg_tf.retrieval.vectors.options import VectorOptions


def train_vectors(
    path: pathlib.Path, sample: np.ndarray, options: VectorOptions
) -> None:
    """Learns what a kind needs to know of descriptors before it stores any.

    Args:
        path: file to write.
        sample: float32 [N, D], descriptors like those to be stored.
        options: of a kind that needs training.

    Raises:
        InputError: the sample is too small.
    """
    raise InputError(f"{options.kind} cannot be trained.")


def write_vectors(
    folder: pathlib.Path,
    descriptors: np.ndarray,
    options: VectorOptions,
    trained: pathlib.Path | None = None,
) -> None:
    """Writes descriptors into an empty folder, as plain files.

    Args:
        folder: an existing folder; whoever calls makes it appear atomically.
        descriptors: float32 [N, D], N at least 1, L2-normalised or zeros; may
            be a mapped array that is larger than memory.
        options: the kind.
        trained: file of `train_vectors`, for kinds that need it.
    """
    FlatVectors.write(folder, descriptors)


def open_vectors(
    folder: pathlib.Path,
    options: VectorOptions,
    trained: pathlib.Path | None = None,
) -> Vectors:
    """Opens what `write_vectors` has written.

    Raises:
        InputError: a file is missing or damaged; the message names it.
    """
    return FlatVectors(folder)
