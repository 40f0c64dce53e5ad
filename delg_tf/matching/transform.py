"""Geometric models: where they put points, whether a camera could cause them.

A model is [2, 3], affine: target = model @ [y, x, 1]; or [3, 3], a homography:
the same with a division by the third number.
"""

import numpy as np

from delg_tf.matching.config import MatchingConfig


def apply(model: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Returns where a model puts points.

    Args:
        model: [2, 3] or [3, 3].
        source: [M, 2], (y, x) in pixels of the index image.

    Returns:
        [M, 2] float64, (y, x) in pixels of the query image. Points on or
        behind the horizon of a homography are infinitely far away.
    """
    moved = source @ model[:, :2].T + model[:, 2]
    if len(model) == 2:
        return moved
    depth = moved[:, 2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(depth > 0, moved[:, :2] / depth, np.inf)


def residuals(
    model: np.ndarray, source: np.ndarray, target: np.ndarray
) -> np.ndarray:
    """Returns how far the transformed source points lie from the targets.

    Args:
        model: [2, 3] or [3, 3].
        source: [M, 2], (y, x) in pixels of the index image.
        target: [M, 2], (y, x) in pixels of the query image.

    Returns:
        [M] float64, pixels of the query image.
    """
    offset = apply(model, source) - target
    return np.hypot(offset[:, 0], offset[:, 1])


def oriented(model: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Returns a homography with the sign for which points are in front.

    H and -H are one homography; `apply` wants positive depths.

    Args:
        model: [2, 3], which has no sign to choose, or [3, 3].
        points: [M, 2], of which most lie on one side of the horizon.
    """
    if len(model) == 2:
        return model
    depths = points @ model[2, :2] + model[2, 2]
    return -model if np.count_nonzero(depths < 0) * 2 > len(points) else model


def linear_parts(model: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Returns [M, 2, 2] or [1, 2, 2], the derivatives of a model at points.

    Those of an affine model are the same everywhere.

    Args:
        model: [2, 3] or [3, 3].
        points: [M, 2] in front of the horizon; ignored with affine models.
    """
    if len(model) == 2:
        return model[None, :, :2]
    depth = points @ model[2, :2] + model[2, 2]
    moved = apply(model, points)
    change = model[:2, :2] - moved[:, :, None] * model[2, :2]
    return change / depth[:, None, None]


def is_plausible(
    model: np.ndarray, config: MatchingConfig, points: np.ndarray
) -> bool:
    """Whether a model could come from two photographs of one object.

    The singular values of its linear part are the scale changes along the two
    directions where they are largest and smallest; a collapse to a line or a
    point has a singular value of (nearly) zero. A negative determinant is a
    mirror image. A homography is looked at around each of its inliers; all
    must lie on one side of its horizon.

    Args:
        model: [2, 3] or [3, 3].
        config: `max_scale_change` and `allow_reflection` are used.
        points: [M, 2], the inliers' places in the index image.
    """
    if not np.isfinite(model).all():
        return False
    if len(model) == 3:
        depths = points @ model[2, :2] + model[2, 2]
        if len(points) == 0 or not (depths > 0).all():
            return False
    linear = linear_parts(model, points)
    if not np.isfinite(linear).all():
        return False
    return bool(are_plausible(linear, config).all())


def are_plausible(linear: np.ndarray, config: MatchingConfig) -> np.ndarray:
    """Returns [H] bool: which linear parts [H, 2, 2] a camera could cause.

    See `is_plausible`.
    """
    parts = linear.reshape(-1, 4).T
    return are_plausible_parts(*parts, config)


def are_plausible_parts(
    a: np.ndarray,
    b: np.ndarray,
    d: np.ndarray,
    e: np.ndarray,
    config: MatchingConfig,
) -> np.ndarray:
    """Does what `are_plausible` does with [[a, b], [d, e]], each [H].

    The squares of the singular values are the roots of
    v^2 - |A|^2 v + det(A)^2.
    """
    determinant = a * e - b * d
    plausible = np.ones(len(a), bool)
    if not config.allow_reflection:
        plausible = determinant > 0
    limit = config.max_scale_change
    if limit is None:
        return plausible
    half = (a * a + b * b + d * d + e * e) / 2
    squared = determinant * determinant
    largest = half + np.sqrt(np.maximum(half * half - squared, 0))
    # The smallest is squared / largest.
    return plausible & (largest <= limit**2) & (squared * limit**2 >= largest)


def spans_a_plane(points: np.ndarray) -> bool:
    """Whether points do not all lie on one line, beyond rounding.

    Matches on one line agree with any number of affine models: which one is
    found is chance.

    Args:
        points: [M, 2].
    """
    if len(points) < 3:
        return False
    points = points - points.mean(axis=0)
    (yy, yx), (_, xx) = points.T @ points
    if yy * xx - yx * yx > 1e-6 * (yy + xx) ** 2 and yy + xx > 1e-6:
        # Far from a line: no need of the exact way.
        return True
    spread = np.linalg.svd(points, compute_uv=False)
    return bool(spread[1] > 1e-9 * max(spread[0], 1.0))
