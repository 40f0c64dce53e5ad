"""k-reciprocal encoding: images whose neighbours are the same are near.

Source: Zhong et al., CVPR 2017. Here the query and the top of its list are
the whole gallery, so that the work does not grow with the index, and the
original distance is 1 - cosine.
"""

import numpy as np
from scipy import sparse

from delg_tf.retrieval.ranking.config import KReciprocal
from delg_tf.retrieval.ranking.neighbours import nearest, similarities_among


def k_reciprocal_distances(
    query: np.ndarray, descriptors: np.ndarray, config: KReciprocal
) -> np.ndarray:
    """Returns the final distances of images to the query.

    Args:
        query: float32 [D], L2-normalised.
        descriptors: float32 [M, D], L2-normalised.
        config: settings.

    Returns:
        float64 [M], from 0 to 2: (1 - lambda) * Jaccard distance + lambda *
        (1 - cosine).
    """
    cosines = similarities_among(np.concatenate([query[None], descriptors]))
    encodings = _encodings(cosines, config)
    distances = 1.0 - cosines[0, 1:].astype(np.float64)
    jaccard = _jaccard_to_first(encodings)[1:]
    return (1 - config.weight) * jaccard + config.weight * distances


def reciprocal_neighbours(similarities: np.ndarray, k: int) -> sparse.csr_array:
    """Returns R(., k): images that are each among the other's k nearest.

    Args:
        similarities: float32 [M, M].
        k: neighbours beside the image itself, which always belongs to them.

    Returns:
        float64 [M, M], symmetric, 1 for such pairs.
    """
    near = nearest(similarities, k, with_self=True)
    return near.multiply(near.T).tocsr()


def expanded_neighbours(similarities: np.ndarray, k: int) -> sparse.csr_array:
    """Returns R*(., k), to which neighbours of neighbours belong.

    R(c, k/2) of a neighbour c joins if two thirds of it are in R already.

    Args:
        similarities: float32 [M, M].
        k: as in `reciprocal_neighbours`; a half is rounded up.

    Returns:
        float64 [M, M], 1 in row i for the images of R*(i, k).
    """
    near = reciprocal_neighbours(similarities, k)
    half = reciprocal_neighbours(similarities, (k + 1) // 2)
    sizes = half.sum(axis=1)
    common = near.multiply(near @ half.T).tocoo()
    i, c = common.coords
    # Whole numbers, so that exactly two thirds are enough.
    joins = 3 * common.data >= 2 * sizes[c]
    joined = sparse.csr_array(
        (np.ones(joins.sum()), (i[joins], c[joins])), shape=near.shape
    )
    return (near + joined @ half).sign().tocsr()


def _encodings(
    similarities: np.ndarray, config: KReciprocal
) -> sparse.csr_array:
    """Returns V: exp(-distance) for R*, averaged over the k2 nearest."""
    members = expanded_neighbours(similarities, config.k1).tocoo()
    i, j = members.coords
    values = np.exp(similarities[i, j].astype(np.float64) - 1.0)
    encodings = sparse.csr_array((values, (i, j)), shape=members.shape)
    if config.k2 == 1:
        return encodings
    near = nearest(similarities, config.k2 - 1, with_self=True)
    return ((near @ encodings) / near.sum(axis=1)[0]).tocsr()


def _jaccard_to_first(encodings: sparse.csr_array) -> np.ndarray:
    """Returns 1 - sum of minima / sum of maxima, of each row and the first."""
    sums = encodings.sum(axis=1)
    first = encodings[[0]].toarray()[0]
    least = encodings.copy()
    least.data = np.minimum(least.data, first[least.indices])
    minima = least.sum(axis=1)
    # min + max is the sum of both.
    return 1.0 - minima / (sums + sums[0] - minima)
