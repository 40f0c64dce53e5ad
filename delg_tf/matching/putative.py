"""Putative matches: pairs of features that look alike."""

import numpy as np

from delg_tf.matching.config import MatchingConfig
from delg_tf.matching.kernels.neighbours import distances_to_rows
from delg_tf.matching.nearest import (
    distances_of_codes,
    nearest,
    nearest_codes,
)
from delg_tf.matching.prepared import PreparedFeatures


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
    query, index = np.ascontiguousarray(query), np.ascontiguousarray(index)
    rows = nearest(query, index, _neighbours(config))
    columns = [distances_to_rows(query, index, column) for column in rows.T]
    matches = _accepted(rows, columns, config)
    if config.mutual and len(matches):
        back = nearest(index[matches[:, 1]], query, 1)
        matches = matches[back[:, 0] == matches[:, 0]]
    return matches


def putative_matches_of_codes(
    query_codes: np.ndarray,
    index_codes: np.ndarray,
    magnitude: float,
    config: MatchingConfig,
) -> np.ndarray:
    """Does what `putative_matches` does with binary descriptors, by codes.

    Args:
        query_codes: [Nq, ceil(D / 8)] uint8, see `encode_descriptors`.
        index_codes: [Ni, ceil(D / 8)] uint8.
        magnitude: of the decoded numbers, whose sign alone is stored.
        config: as there.

    Returns:
        [M, 2] int32, the matches of the decoded descriptors. Among equal
        distances the lowest row wins, which rounding may decide there.
    """
    if len(query_codes) == 0 or len(index_codes) == 0:
        return np.zeros((0, 2), np.int32)
    hamming, rows = nearest_codes(query_codes, index_codes, _neighbours(config))
    columns = list(distances_of_codes(hamming, magnitude).T)
    matches = _accepted(rows, columns, config)
    if config.mutual and len(matches):
        _, back = nearest_codes(index_codes[matches[:, 1]], query_codes, 1)
        matches = matches[back[:, 0] == matches[:, 0]]
    return matches


def putative_matches_of_images(
    query: PreparedFeatures, index: PreparedFeatures, config: MatchingConfig
) -> np.ndarray:
    """Returns the putative matches of two images, the fastest way.

    Args:
        query: features of the query image.
        index: features of the index image, of the same depth.
        config: where one image is binary, `binary_distance` is the limit.

    Returns:
        [M, 2] int32, see `putative_matches`.
    """
    if len(query) == 0 or len(index) == 0:
        return np.zeros((0, 2), np.int32)
    if query.codes is not None or index.codes is not None:
        config = config.for_binary()
    if (
        query.codes is not None
        and index.codes is not None
        and query.magnitude == index.magnitude
    ):
        return putative_matches_of_codes(
            query.codes, index.codes, query.magnitude, config
        )
    return putative_matches(query.descriptors, index.descriptors, config)


def _neighbours(config: MatchingConfig) -> int:
    return 1 if config.ratio_test is None else 2


def _accepted(
    rows: np.ndarray,
    columns: list[np.ndarray],
    config: MatchingConfig,
) -> np.ndarray:
    """Returns [M, 2] int32, the pairs that pass the limit and the ratio test.

    Args:
        rows: [N, K], index features nearest to each query feature, K is 1 or
            2.
        columns: K arrays [N], their distances.
        config: `descriptor_distance` and `ratio_test` are used.
    """
    accepted = np.ones(len(rows), bool)
    if config.descriptor_distance is not None:
        accepted &= columns[0] < config.descriptor_distance
    if config.ratio_test is not None and len(columns) > 1:
        accepted &= columns[0] < config.ratio_test * columns[1]
    return _pairs(accepted, rows)


def _pairs(accepted: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns [M, 2] int32, the accepted query features and their nearest."""
    query = np.flatnonzero(accepted)
    return np.stack([query, rows[query, 0]], axis=1).astype(np.int32)
