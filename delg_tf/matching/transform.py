"""Affine models: residuals, and whether a camera could cause them."""

import numpy as np

from delg_tf.matching.config import MatchingConfig


def residuals(
    model: np.ndarray, source: np.ndarray, target: np.ndarray
) -> np.ndarray:
    """Returns how far the transformed source points lie from the targets.

    Args:
        model: [2, 3], target = model @ [y, x, 1].
        source: [M, 2], (y, x) in pixels of the index image.
        target: [M, 2], (y, x) in pixels of the query image.

    Returns:
        [M] float64, pixels of the query image.
    """
    offset = source @ model[:, :2].T + model[:, 2] - target
    return np.hypot(offset[:, 0], offset[:, 1])


def is_plausible(model: np.ndarray, config: MatchingConfig) -> bool:
    """Whether a model could come from two photographs of one object.

    The singular values of its linear part are the scale changes along the two
    directions where they are largest and smallest; a collapse to a line or a
    point has a singular value of (nearly) zero. A negative determinant is a
    mirror image.

    Args:
        model: [2, 3].
        config: `max_scale_change` and `allow_reflection` are used.
    """
    linear = model[:, :2]
    if not np.isfinite(model).all():
        return False
    if not config.allow_reflection and np.linalg.det(linear) <= 0:
        return False
    limit = config.max_scale_change
    if limit is None:
        return True
    largest, smallest = np.linalg.svd(linear, compute_uv=False)
    return bool(largest <= limit and smallest >= 1 / limit)


def spans_a_plane(points: np.ndarray) -> bool:
    """Whether points do not all lie on one line, beyond rounding.

    Matches on one line agree with any number of affine models: which one is
    found is chance.

    Args:
        points: [M, 2].
    """
    if len(points) < 3:
        return False
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(spread[1] > 1e-9 * max(spread[0], 1.0))
