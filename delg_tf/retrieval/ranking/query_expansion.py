"""Query expansion: what a query found becomes a part of it.

Sources: average query expansion, Chum et al., ICCV 2007; weights
similarity^alpha, Radenovic et al., TPAMI 2018.
"""

import numpy as np

from delg_tf.retrieval.ranking.descriptors import Descriptors
from delg_tf.retrieval.ranking.weighted_means import mean_with_neighbours

# Numbers of the neighbours' descriptors held at a time: 256 MB.
_NUMBERS_A_BLOCK = 1 << 26


def expand_queries(
    queries: np.ndarray,
    ranks: np.ndarray,
    similarities: np.ndarray,
    descriptors: Descriptors,
    images: int,
    alpha: float = 0.0,
    inliers: np.ndarray | None = None,
    min_inliers: int = 0,
) -> np.ndarray:
    """Returns queries to search with again.

    Args:
        queries: float32 [Q, D], L2-normalised; zeros stay as they are.
        ranks: int [Q, K], ids of the images that were found, best first.
        similarities: float [Q, K], cosines, in the order of `ranks`.
        descriptors: of the index images, by id.
        images: n, images of each list that join the query. If fewer qualify,
            fewer join.
        alpha: exponent of their weights, similarity^alpha; 0: the average.
        inliers: int [Q, K], in the order of `ranks`.
        min_inliers: images with fewer inliers do not join, and the next ones
            move up; 0: inliers do not matter.

    Returns:
        float32 [Q, D], L2-normalised.

    Raises:
        ValueError: inliers are demanded but not given.
    """
    if min_inliers > 0 and inliers is None:
        raise ValueError(
            "`inliers` must be given if `min_inliers` is above 0. Received: "
            "None"
        )
    expanded = queries.copy()
    places, used = _first(ranks.shape, images, inliers, min_inliers)
    if not places.shape[1]:
        return expanded
    ids = np.take_along_axis(ranks, places, axis=1)
    found = np.take_along_axis(similarities, places, axis=1)
    block = max(1, _NUMBERS_A_BLOCK // (ids.shape[1] * queries.shape[1]))
    for start in range(0, len(queries), block):
        rows = slice(start, start + block)
        expanded[rows] = mean_with_neighbours(
            queries[rows],
            descriptors(ids[rows]),
            found[rows],
            alpha,
            used[rows],
        )
    return expanded


def _first(
    shape: tuple[int, int],
    images: int,
    inliers: np.ndarray | None,
    min_inliers: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns places in each list [Q, n], and which of them qualify."""
    qualified = np.ones(shape, bool)
    if min_inliers > 0:
        qualified = inliers >= min_inliers
    # A stable sort keeps the order among the qualified, who come first.
    places = np.argsort(~qualified, axis=1, kind="stable")[:, :images]
    return places, np.take_along_axis(qualified, places, axis=1)
