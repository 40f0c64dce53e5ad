"""Putative matches: pairs of features that look alike."""

import numpy as np

from delg_tf.matching.config import MatchingConfig

# Distances are computed for so many pairs at a time (64 MiB of float32).
_PAIRS_AT_A_TIME = 1 << 24


def putative_matches(
    query_descriptors: np.ndarray,
    index_descriptors: np.ndarray,
    config: MatchingConfig,
) -> np.ndarray:
    """Finds for each query feature the index feature that looks most alike.

    This is the official direction (image_reranking.py): the neighbours are
    searched among the index image's features, and several query features may
    match the same one.

    Args:
        query_descriptors: [Nq, D] real; normalised or not.
        index_descriptors: [Ni, D] real.
        config: `descriptor_distance`, `ratio_test` and `mutual` are used. A
            lone index feature has no second neighbour: it passes the ratio
            test.

    Returns:
        [M, 2] int32, (query feature, index feature), by query feature.

    Raises:
        ValueError: the descriptors are no matrices or differ in their depth.
    """
    query = np.asarray(query_descriptors, np.float32)
    index = np.asarray(index_descriptors, np.float32)
    if query.ndim != 2 or index.ndim != 2:
        raise ValueError(
            "`query_descriptors` and `index_descriptors` must be matrices. "
            f"Received: {query.shape} and {index.shape}."
        )
    if len(query) == 0 or len(index) == 0:
        return np.zeros((0, 2), np.int32)
    if query.shape[1] != index.shape[1]:
        raise ValueError(
            "`query_descriptors` and `index_descriptors` must have the same "
            f"depth. Received: {query.shape[1]} and {index.shape[1]}."
        )
    neighbours = _nearest(query, index, 1 if config.ratio_test is None else 2)
    rows = np.arange(len(query))
    distance = _distance(query, index[neighbours[:, 0]])
    accepted = np.ones(len(query), bool)
    if config.descriptor_distance is not None:
        accepted &= distance < config.descriptor_distance
    if config.ratio_test is not None and neighbours.shape[1] > 1:
        second = _distance(query, index[neighbours[:, 1]])
        accepted &= distance < config.ratio_test * second
    matches = np.stack([rows, neighbours[:, 0]], axis=1)[accepted]
    if config.mutual and len(matches):
        back = _nearest(index[matches[:, 1]], query, 1)[:, 0]
        matches = matches[back == matches[:, 0]]
    return matches.astype(np.int32)


def _nearest(points: np.ndarray, others: np.ndarray, count: int) -> np.ndarray:
    """Returns [N, min(count, len(others))], the nearest others of each point.

    Among equal distances the lowest row wins. |a - b|^2 is expanded to
    |a|^2 - 2 a.b + |b|^2, of which |a|^2 does not change the order.
    """
    count = min(count, len(others))
    squares = np.einsum("nd,nd->n", others, others)
    nearest = np.empty((len(points), count), np.int64)
    step = max(1, _PAIRS_AT_A_TIME // len(others))
    for start in range(0, len(points), step):
        order = points[start : start + step] @ others.T
        order *= -2.0
        order += squares
        for rank in range(count):
            best = order.argmin(axis=1)
            nearest[start : start + step, rank] = best
            if rank + 1 < count:
                np.put_along_axis(order, best[:, None], np.inf, axis=1)
    return nearest


def _distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns [N] float64, the Euclidean distances of rows.

    They come from differences, as the expansion loses digits where two
    descriptors are nearly equal, and the limits are strict.
    """
    difference = first.astype(np.float64) - second
    return np.sqrt(np.einsum("nd,nd->n", difference, difference))
