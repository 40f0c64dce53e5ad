"""Motions of one pair of images: through samples, their costs, their fits.

What `samples` and `affine_batch` do with arrays of motions, here a motion at a
time: six numbers (a, b, c, d, e, f), by which y becomes a y + b x + c, and x
becomes d y + e x + f. Points are [2, M], rows y and x.
"""

import numpy as np

from delg_tf.matching.kernels.compiling import SUMS, kernel


@kernel()
def is_plausible(
    motion: np.ndarray, largest_square: float, reflection: bool
) -> bool:
    """See `transform.are_plausible_parts`; what is not finite is not plausible.

    Args:
        motion: [6].
        largest_square: `max_scale_change` squared, infinity without a limit.
        reflection: `allow_reflection`.
    """
    a, b, c, d, e, f = motion
    if not np.isfinite(a + b + c + d + e + f):
        return False
    determinant = a * e - b * d
    if not reflection and not determinant > 0:
        return False
    if largest_square == np.inf:
        return True
    half = (a * a + b * b + d * d + e * e) / 2
    squared = determinant * determinant
    largest = half + np.sqrt(max(half * half - squared, 0.0))
    return largest <= largest_square and squared * largest_square >= largest


@kernel()
def similarity_through(
    source: np.ndarray, target: np.ndarray, i: int, j: int, motion: np.ndarray
) -> None:
    """Writes the rotation with scale and shift through matches i and j."""
    y, x = source[0, i], source[1, i]
    v, u = target[0, i], target[1, i]
    dy, dx = source[0, j] - y, source[1, j] - x
    dv, du = target[0, j] - v, target[1, j] - u
    size = dy * dy + dx * dx
    cosine = (dv * dy + du * dx) / size
    sine = (du * dy - dv * dx) / size
    motion[0] = motion[4] = cosine
    motion[1], motion[3] = -sine, sine
    motion[2] = v - cosine * y + sine * x
    motion[5] = u - sine * y - cosine * x


@kernel()
def affinity_through(
    source: np.ndarray,
    target: np.ndarray,
    i: int,
    j: int,
    k: int,
    motion: np.ndarray,
) -> None:
    """Writes the affine motion through matches i, j and k."""
    y, x = source[0, i], source[1, i]
    ay, ax = source[0, j] - y, source[1, j] - x
    by, bx = source[0, k] - y, source[1, k] - x
    scale = 1 / (ay * bx - ax * by)
    for row in range(2):
        end = target[row, i]
        first, second = target[row, j] - end, target[row, k] - end
        along_y = (first * bx - second * ax) * scale
        along_x = (second * ay - first * by) * scale
        motion[3 * row] = along_y
        motion[3 * row + 1] = along_x
        motion[3 * row + 2] = end - along_y * y - along_x * x


@kernel(SUMS)
def cost(
    source: np.ndarray, target: np.ndarray, motion: np.ndarray, limit: float
) -> np.float32:
    """Returns MSAC's cost, see `AffineBatch.costs`.

    Args:
        source: float32 [2, M].
        target: float32 [2, M].
        motion: float32 [6].
        limit: the threshold squared, float32.
    """
    a, b, c, d, e, f = motion
    total = np.float32(0)
    for row in range(source.shape[1]):
        y, x = source[0, row], source[1, row]
        along_y = a * y + b * x + c - target[0, row]
        along_x = d * y + e * x + f - target[1, row]
        total += min(along_y * along_y + along_x * along_x, limit)
    return total


@kernel(SUMS)
def cost_and_sums(
    source: np.ndarray,
    target: np.ndarray,
    motion: np.ndarray,
    limit: float,
    sums: np.ndarray,
) -> float:
    """Returns the cost in double precision; writes what `fit` needs.

    Args:
        source: float64 [2, M].
        target: float64 [2, M].
        motion: float64 [6].
        limit: the threshold squared.
        sums: [12], see `AffineBatch.costs_and_sums`.
    """
    a, b, c, d, e, f = motion
    total = count = 0.0
    sy = sx = yy = yx = xx = sv = vy = vx = su = uy = ux = 0.0
    for row in range(source.shape[1]):
        y, x = source[0, row], source[1, row]
        v, u = target[0, row], target[1, row]
        along_y = a * y + b * x + c - v
        along_x = d * y + e * x + f - u
        square = along_y * along_y + along_x * along_x
        total += min(square, limit)
        weight = 1.0 if square < limit else 0.0
        count += weight
        wy, wx = weight * y, weight * x
        sy, sx = sy + wy, sx + wx
        yy, yx, xx = yy + wy * y, yx + wy * x, xx + wx * x
        sv, vy, vx = sv + weight * v, vy + wy * v, vx + wx * v
        su, uy, ux = su + weight * u, uy + wy * u, ux + wx * u
    sums[0], sums[1], sums[2], sums[3], sums[4] = yy, yx, xx, sy, sx
    sums[5], sums[6], sums[7], sums[8] = count, vy, vx, sv
    sums[9], sums[10], sums[11] = uy, ux, su
    return total


@kernel()
def fit(sums: np.ndarray, similarity: bool, motion: np.ndarray) -> None:
    """Writes the motion that fits inliers best, see `affine_batch.fit`."""
    yy, yx, xx, y, x, count, vy, vx, v, uy, ux, u = sums
    yy, yx, xx = yy - y * y / count, yx - y * x / count, xx - x * x / count
    vy, vx = vy - v * y / count, vx - v * x / count
    uy, ux = uy - u * y / count, ux - u * x / count
    if similarity:
        size = yy + xx
        motion[0] = motion[4] = (vy + ux) / size
        motion[3] = (uy - vx) / size
        motion[1] = -motion[3]
    else:
        size = yy * xx - yx * yx
        if size <= 1e-12 * yy * xx:
            size = np.nan
        motion[0], motion[1] = (
            (vy * xx - vx * yx) / size,
            (vx * yy - vy * yx) / size,
        )
        motion[3], motion[4] = (
            (uy * xx - ux * yx) / size,
            (ux * yy - uy * yx) / size,
        )
    motion[2] = (v - motion[0] * y - motion[1] * x) / count
    motion[5] = (u - motion[3] * y - motion[4] * x) / count
