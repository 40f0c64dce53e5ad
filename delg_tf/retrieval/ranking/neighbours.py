"""Nearest neighbours among few images, as sparse matrices."""

import numpy as np
from scipy import sparse


def similarities_among(descriptors: np.ndarray) -> np.ndarray:
    """Returns the cosines between all pairs.

    Args:
        descriptors: float32 [M, D], L2-normalised.

    Returns:
        float32 [M, M].
    """
    return descriptors @ descriptors.T


def nearest(
    similarities: np.ndarray, count: int, with_self: bool = False
) -> sparse.csr_array:
    """Returns which images are the nearest of each.

    Args:
        similarities: float32 [M, M].
        count: k, others that each image has as neighbours, or all of fewer.
        with_self: whether it is its own neighbour beside them.

    Returns:
        float64 [M, M], 1 in row i for the neighbours of image i. Of equally
        near ones the first count.
    """
    size = len(similarities)
    count = min(count, size - 1)
    others = similarities.copy()
    np.fill_diagonal(others, -np.inf)
    columns = _first_places(others, count)
    if with_self:
        own = np.arange(size, dtype=columns.dtype)[:, None]
        columns = np.concatenate([own, columns], axis=1)
    # A row after the other, each of the same number of neighbours.
    starts = np.arange(size + 1) * columns.shape[1]
    return sparse.csr_array(
        (np.ones(columns.size), columns.ravel(), starts), shape=(size, size)
    )


def _first_places(values: np.ndarray, count: int) -> np.ndarray:
    """Returns the places of the largest values of each row; ties by place."""
    if not count:
        return np.zeros((len(values), 0), np.int64)
    cut = -np.partition(-values, count - 1, axis=1)[:, count - 1 : count]
    above = values > cut
    # Of those equal to the last one only so many, from the left.
    level = values == cut
    room = count - above.sum(axis=1, keepdims=True)
    chosen = above | (level & (np.cumsum(level, axis=1) <= room))
    return np.nonzero(chosen)[1].reshape(len(values), count)
