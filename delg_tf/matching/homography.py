"""From affine motions to homographies."""

from collections.abc import Iterable

import numpy as np

from delg_tf.matching import transform
from delg_tf.matching.config import MatchingConfig

_ROUNDS = 10
# A homography has eight degrees of freedom, a match gives two.
_LEAST_MATCHES = 4


def refine(
    models: Iterable[np.ndarray],
    source: np.ndarray,
    target: np.ndarray,
    config: MatchingConfig,
) -> list[np.ndarray]:
    """Makes homographies of affine motions.

    Each is fitted to its inliers as long as that lowers the sum of truncated
    squared residuals. An affine motion resembles a homography near some place
    (Philbin et al., 2007); the inliers grow from there.

    Args:
        models: [2, 3] each.
        source: [M, 2] float64, (y, x) in pixels of the index image.
        target: [M, 2] float64, (y, x) in pixels of the query image.
        config: `residual_threshold`, and what is plausible.

    Returns:
        [3, 3] each, the best first.
    """
    refined = [
        _refine(np.vstack([model, [0, 0, 1]]), source, target, config)
        for model in models
    ]
    return [model for _, model in sorted(refined, key=lambda found: found[0])]


def fit(
    source: np.ndarray, target: np.ndarray, depths: np.ndarray | None = None
) -> np.ndarray:
    """Fits a homography to matches by linear least squares.

    Coordinates are normalised (Hartley and Zisserman, algorithm 4.2).

    Args:
        source: [M, 2], M is 4 or more.
        target: [M, 2].
        depths: [M], an estimate of each point's third coordinate: divided by
            it, errors of the linear equations are in pixels. None: 1.

    Returns:
        [3, 3], the source's points in front of the horizon.
    """
    source_change, source_points = _normalise(source)
    target_change, target_points = _normalise(target)
    rows = np.column_stack([source_points, np.ones(len(source))])
    if depths is not None:
        rows = rows / depths[:, None]
    v, u = target_points.T
    zeros = np.zeros_like(rows)
    equations = np.concatenate(
        [
            np.concatenate([rows, zeros, -v[:, None] * rows], axis=1),
            np.concatenate([zeros, rows, -u[:, None] * rows], axis=1),
        ]
    )
    _, vectors = np.linalg.eigh(equations.T @ equations)
    model = vectors[:, 0].reshape(3, 3)
    model = np.linalg.inv(target_change) @ model @ source_change
    # Of unit size at the points' centre, where the depth is not 0.
    depth = source.mean(axis=0) @ model[2, :2] + model[2, 2]
    return model / depth if depth else np.full((3, 3), np.nan)


def _refine(
    model: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    config: MatchingConfig,
) -> tuple[float, np.ndarray]:
    """Returns the lowest cost, and its model."""
    limit = config.residual_threshold
    lowest, best = np.inf, model
    for _ in range(_ROUNDS):
        distance = transform.residuals(model, source, target)
        cost = float((np.minimum(distance, limit) ** 2).sum())
        inliers = distance < limit
        points = source[inliers]
        if cost >= lowest or not transform.is_plausible(model, config, points):
            break
        lowest, best = cost, model
        if len(points) < _LEAST_MATCHES:
            break
        depths = points @ model[2, :2] + model[2, 2]
        model = fit(points, target[inliers], depths)
    return lowest, best


def _normalise(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns [3, 3], and [M, 2] that it makes of the points."""
    centre = points.mean(axis=0)
    spread = np.sqrt(((points - centre) ** 2).sum(axis=1).mean())
    scale = np.sqrt(2) / max(spread, 1e-9)
    change = np.diag([scale, scale, 1.0])
    change[:2, 2] = -scale * centre
    return change, (points - centre) * scale
