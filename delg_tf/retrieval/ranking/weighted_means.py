"""A descriptor and its neighbours made into one."""

import numpy as np


def mean_with_neighbours(
    descriptors: np.ndarray,
    neighbours: np.ndarray,
    similarities: np.ndarray,
    alpha: float,
    used: np.ndarray | None = None,
) -> np.ndarray:
    """Adds weighted neighbours to descriptors, and normalises again.

    A descriptor itself has weight 1, a neighbour max(similarity, 0)^alpha, so
    that with alpha 0 all have the same.

    Args:
        descriptors: float32 [B, D], L2-normalised; zeros stay as they are.
        neighbours: float32 [B, n, D], L2-normalised, or zeros, which add
            nothing.
        similarities: float [B, n], of each to its descriptor.
        alpha: exponent of the weights, at least 0.
        used: bool [B, n], which neighbours take part; None: all.

    Returns:
        float32 [B, D], L2-normalised, or zeros where `descriptors` has them.
    """
    weights = np.maximum(similarities, 0.0).astype(np.float32) ** alpha
    if used is not None:
        weights = np.where(used, weights, np.float32(0))
    sums = descriptors + np.einsum("bn,bnd->bd", weights, neighbours)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    # Opposites may cancel out: then the descriptor is better than nothing.
    keep = (norms < 1e-6) | ~descriptors.any(axis=1, keepdims=True)
    return np.where(keep, descriptors, sums / np.where(keep, 1, norms)).astype(
        np.float32
    )
