"""Descriptors of any kind: training, writing, opening."""

import pathlib

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.retrieval.vectors import ivfpq
from delg_tf.retrieval.vectors.base import Vectors
from delg_tf.retrieval.vectors.flat import FlatVectors
from delg_tf.retrieval.vectors.hnsw import HnswVectors
from delg_tf.retrieval.vectors.options import VectorOptions


def train_vectors(
    path: pathlib.Path,
    sample: np.ndarray,
    options: VectorOptions,
    rows: int | None = None,
) -> None:
    """Learns what a kind needs to know of descriptors before it stores any.

    Args:
        path: file to write.
        sample: float32 [N, D], descriptors like those to be stored.
        options: of a kind that needs training.
        rows: number of descriptors that will be stored, as far as it is
            known; None: as many as the sample has.

    Raises:
        InputError: the sample is too small, or the kind is not trained.
    """
    if not options.needs_training:
        raise InputError(f"{options.kind} cannot be trained.")
    ivfpq.train(path, sample, options, rows)


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

    Raises:
        InputError: the trained file is missing or does not fit.
        ValueError: descriptors are not finite.
    """
    if options.kind == "hnsw":
        HnswVectors.write(folder, descriptors, options)
    elif options.kind == "ivfpq":
        if trained is None:
            raise InputError(f"{options.kind} must be trained first.")
        ivfpq.IvfpqVectors.write(folder, descriptors, options, trained)
    else:
        FlatVectors.write(
            folder, descriptors, options.kind, options.bfloat16_copy
        )


def open_vectors(
    folder: pathlib.Path,
    options: VectorOptions,
    trained: pathlib.Path | None = None,
    method: str = "auto",
) -> Vectors:
    """Opens what `write_vectors` has written.

    Args:
        folder: the folder.
        options: those it was written with; settings of searches may differ.
        trained: file of `train_vectors`, for kinds that need it.
        method: of the exact kinds; see `FlatVectors`.

    Raises:
        InputError: a file is missing or damaged; the message names it.
    """
    if options.kind == "hnsw":
        return HnswVectors(folder, options)
    if options.kind == "ivfpq":
        return ivfpq.IvfpqVectors(folder, options)
    return FlatVectors(folder, options.kind, method)
