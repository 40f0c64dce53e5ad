"""Nearest neighbours among descriptors, by numbers or by binary codes.

Among equal distances the lowest row wins: of codes always, of numbers as far
as rounding lets them be equal.
"""

import faiss
import numpy as np

# Distances are computed for so many pairs at a time (64 MiB of float32).
_PAIRS_AT_A_TIME = 1 << 24


def nearest(
    points: np.ndarray, others: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the nearest others of each point by Euclidean distance.

    |a - b|^2 is |a|^2 - 2 (a.b - |b|^2 / 2): the nearest has the largest
    a.b - |b|^2 / 2.

    Args:
        points: [N, D] float32.
        others: [M, D] float32, M is 1 or more.
        count: neighbours of each.

    Returns:
        Rows [N, min(count, M)], and a.b - |b|^2 / 2 of the first, [N] float32.
    """
    count = min(count, len(others))
    halves = np.einsum("nd,nd->n", others, others) / 2
    found = np.empty((len(points), count), np.int64)
    highest = np.empty(len(points), np.float32)
    step = max(1, _PAIRS_AT_A_TIME // len(others))
    for start in range(0, len(points), step):
        order = points[start : start + step] @ others.T
        order -= halves
        for rank in range(count):
            best = order.argmax(axis=1)
            found[start : start + step, rank] = best
            if rank == 0:
                values = np.take_along_axis(order, best[:, None], axis=1)
                highest[start : start + step] = values[:, 0]
            if rank + 1 < count:
                np.put_along_axis(order, best[:, None], -np.inf, axis=1)
    return found, highest


def distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns [N] float64, the Euclidean distances of rows.

    They come from differences, as the expansion loses digits where two
    descriptors are nearly equal, and the limits are strict.
    """
    difference = first.astype(np.float64) - second
    return np.sqrt(np.einsum("nd,nd->n", difference, difference))


def are_within(
    points: np.ndarray,
    others: np.ndarray,
    rows: np.ndarray,
    scores: np.ndarray,
    limit: float,
) -> np.ndarray:
    """Returns [N] bool: whether `distances` are below a limit.

    Only where rounding could decide are they computed.

    Args:
        points: [N, D] float32.
        others: [M, D] float32.
        rows: [N], a row of `others` for each point.
        scores: [N], see `nearest`.
        limit: exclusive.
    """
    norms = np.einsum("nd,nd->n", points, points).astype(np.float64)
    squares = norms - 2 * scores.astype(np.float64)
    # Each sum of D products in single precision is off by less than D + 2
    # units of half the last place, of |a| |b| (Higham, Accuracy and Stability
    # of Numerical Algorithms, 3.1), and |b| is at most |a| + |a - b|.
    size = np.sqrt(norms) + 2 * limit
    doubt = 8 * (points.shape[1] + 2) * 2.0**-24 * size**2
    within = squares < limit**2
    # What is not finite is in doubt, too.
    unsure = np.flatnonzero(~(np.abs(squares - limit**2) > doubt))
    within[unsure] = distances(points[unsure], others[rows[unsure]]) < limit
    return within


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
    # The heap replaces a neighbour by a nearer one only: of equal ones the
    # first stays.
    return faiss.knn_hamming(
        np.ascontiguousarray(points),
        np.ascontiguousarray(others),
        min(count, len(others)),
        variant="hc",
    )


def distances_of_codes(hamming: np.ndarray, magnitude: float) -> np.ndarray:
    """Returns the distances of the decoded descriptors, float64.

    Args:
        hamming: Hamming distances of codes.
        magnitude: of the decoded numbers, whose sign alone is stored.
    """
    return np.sqrt(hamming * (2 * np.float64(magnitude)) ** 2)
