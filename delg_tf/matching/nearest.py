"""Nearest neighbours among descriptors, by numbers or by binary codes.

Among equal distances the lowest row wins: of codes always, of numbers as far
as rounding lets them be equal.
"""

import faiss
import numpy as np

from delg_tf.matching.kernels.hamming import nearest_words
from delg_tf.matching.kernels.neighbours import first_maxima

# Products of so many pairs at a time (2 MiB of float32) stay in a processor's
# cache until they are compared.
_PAIRS_AT_A_TIME = 1 << 19


def nearest(points: np.ndarray, others: np.ndarray, count: int) -> np.ndarray:
    """Returns the nearest others of each point by Euclidean distance.

    |a - b|^2 is |a|^2 - 2 (a.b - |b|^2 / 2): the nearest has the largest
    a.b - |b|^2 / 2.

    Args:
        points: [N, D] float32, finite.
        others: [M, D] float32, finite, M is 1 or more.
        count: neighbours of each.

    Returns:
        Rows int64 [N, min(count, M)], the nearest first.
    """
    count = min(count, len(others))
    halves = np.einsum("nd,nd->n", others, others) / 2
    found = np.empty((count, len(points)), np.int64)
    step = max(1, _PAIRS_AT_A_TIME // len(others))
    for start in range(0, len(points), step):
        products = points[start : start + step] @ others.T
        for rank in range(count):
            best = found[rank, start : start + step]
            first_maxima(products, halves, best)
            if rank + 1 < count:
                np.put_along_axis(products, best[:, None], -np.inf, axis=1)
    return found.T


def nearest_codes(
    points: np.ndarray, others: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the nearest others of each point by Hamming distance.

    Args:
        points: [N, W] uint8.
        others: [M, W] uint8, M is 1 or more.
        count: neighbours of each.

    Returns:
        Hamming distances and rows, both [N, min(count, M)].
    """
    if count == 1:
        columns = np.ascontiguousarray(_words(others).T)
        hamming, rows = nearest_words(_words(points), columns)
        return hamming[:, None], rows[:, None]
    # The heap replaces a neighbour by a nearer one only: of equal ones the
    # first stays.
    return faiss.knn_hamming(
        np.ascontiguousarray(points),
        np.ascontiguousarray(others),
        min(count, len(others)),
        variant="hc",
    )


def _words(codes: np.ndarray) -> np.ndarray:
    """Returns [N, ceil(W / 8)] uint64, zeros after the ends of codes."""
    missing = -codes.shape[1] % 8
    if missing:
        codes = np.pad(codes, ((0, 0), (0, missing)))
    return np.ascontiguousarray(codes).view(np.uint64)


def distances_of_codes(hamming: np.ndarray, magnitude: float) -> np.ndarray:
    """Returns the distances of the decoded descriptors, float64.

    Args:
        hamming: Hamming distances of codes.
        magnitude: of the decoded numbers, whose sign alone is stored.
    """
    return np.sqrt(hamming * (2 * np.float64(magnitude)) ** 2)
