"""Diffusion of a query's similarity over the graph of what it found.

Source: Iscen et al., CVPR 2017: mutual nearest neighbours, similarities to
the power of gamma, a normalised graph, and the solution of one linear system
by conjugate gradients. As in their truncated variant only the top of a list
takes part; here the graph is made when the query comes, of these images
alone, so it needs no preparation and works with any index. Neighbours outside
of them do not count.
"""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import cg

from delg_tf.retrieval.ranking.config import Diffusion
from delg_tf.retrieval.ranking.neighbours import nearest, similarities_among

_MAX_ITERATIONS = 1000


def diffusion_scores(
    query: np.ndarray, descriptors: np.ndarray, config: Diffusion
) -> np.ndarray:
    """Returns how much of the query reaches each image.

    Args:
        query: float32 [D], L2-normalised.
        descriptors: float32 [M, D], L2-normalised, best first.
        config: settings.

    Returns:
        float64 [M], at least 0; 0 for images that no path joins to the query.
    """
    cosines = descriptors @ query
    affinity = normalised_affinity(descriptors, config)
    # The query is not a node: it feeds the images that are nearest to it.
    source = np.zeros(len(descriptors))
    first = np.argsort(-cosines, kind="stable")[: config.query_neighbours]
    source[first] = np.maximum(cosines[first], 0.0) ** config.power
    system = sparse.identity(len(source), format="csr")
    system = system - config.damping * affinity
    scores, _ = cg(
        system, source, rtol=config.tolerance, maxiter=_MAX_ITERATIONS
    )
    # What is not 0 only because the solution is inexact, or nearly reached.
    return np.where(scores > config.tolerance * scores.max(), scores, 0.0)


def normalised_affinity(
    descriptors: np.ndarray, config: Diffusion
) -> sparse.csr_array:
    """Returns the graph D^(-1/2) A D^(-1/2), its eigenvalues at most 1.

    Args:
        descriptors: float32 [M, D], L2-normalised.
        config: settings.

    Returns:
        float64 [M, M], symmetric; A has max(cosine, 0)^gamma where two images
        are each among the other's k nearest.
    """
    cosines = similarities_among(descriptors)
    near = nearest(cosines, config.neighbours)
    mutual = near.multiply(near.T).tocoo()
    i, j = mutual.coords
    # One triangle mirrored: both halves are the same to the last bit.
    values = np.maximum(cosines[np.minimum(i, j), np.maximum(i, j)], 0.0)
    values = values.astype(np.float64) ** config.power
    degrees = np.bincount(i, values, minlength=len(descriptors))
    scale = 1 / np.sqrt(np.where(degrees > 0, degrees, 1.0))
    return sparse.csr_array(
        (values * scale[i] * scale[j], (i, j)), shape=mutual.shape
    )
