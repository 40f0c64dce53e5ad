"""Many affine motions against the same matches, by matrix products.

The squared residual of a motion is a polynomial of the match's coordinates, so
residuals of all motions are one matrix product. So are the sums that least
squares over the inliers of each motion need.

A motion is a column of six numbers, see `samples`.
"""

import functools

import numpy as np

# Residuals computed at a time; they stay in a processor's cache.
_AT_A_TIME = 1 << 16


class AffineBatch:
    """M matches, in coordinates that keep the products precise.

    Args:
        source: [M, 2] float64.
        target: [M, 2] float64.
        threshold: pixels, from which on a match is no inlier.

    Attributes:
        source: [2, M] float64, centred, of unit size.
        target: [2, M] float64, likewise.
        limit: the threshold squared, in their unit.
    """

    def __init__(
        self, source: np.ndarray, target: np.ndarray, threshold: float
    ):
        self._centres = source.mean(axis=0), target.mean(axis=0)
        self.source = np.ascontiguousarray((source - self._centres[0]).T)
        self.target = np.ascontiguousarray((target - self._centres[1]).T)
        self._unit = max(
            np.abs(self.source).max(), np.abs(self.target).max(), 1e-9
        )
        self.source /= self._unit
        self.target /= self._unit
        self.limit = (threshold / self._unit) ** 2

    @functools.cached_property
    def _terms(self) -> np.ndarray:
        """[12 + 1, M]; see `polynomials` and `fit`."""
        terms = np.empty((13, self.source.shape[1]))
        (y, x), (v, u) = self.source, self.target
        terms[0:2] = y * self.source
        terms[2] = x * x
        terms[3:5] = self.source
        terms[5] = 1
        terms[6:8] = v * self.source
        terms[8] = v
        terms[9:11] = u * self.source
        terms[11] = u
        terms[12] = v * v + u * u
        return terms

    @functools.cached_property
    def _single(self) -> np.ndarray:
        return self._terms.astype(np.float32)

    def in_pixels(self, motion: np.ndarray) -> np.ndarray:
        """Returns [2, 3] for pixels of [6] that is for `source`, `target`."""
        model = motion.reshape(2, 3)
        linear = model[:, :2]
        shift = model[:, 2] * self._unit + self._centres[1]
        shift = shift - linear @ self._centres[0]
        return np.column_stack([linear, shift])

    def costs(self, factors: np.ndarray) -> np.ndarray:
        """Returns [N] float32, the sum of truncated squared residuals.

        It is MSAC's cost: an outlier costs as much as the threshold squared.

        Args:
            factors: [13, N] float32, see `polynomials`.
        """
        matches, count = self._single.shape[1], factors.shape[1]
        ones = np.ones(matches, np.float32)
        costs = np.empty(count, np.float32)
        step = min(max(1, _AT_A_TIME // matches), max(count, 1))
        # With an array NumPy takes minima several times faster than with a
        # number.
        limits = np.full((step, matches), self.limit, np.float32)
        for start in range(0, count, step):
            squares = factors[:, start : start + step].T @ self._single
            np.minimum(squares, limits[: len(squares)], out=squares)
            # A product with ones adds faster than a sum.
            np.matmul(squares, ones, out=costs[start : start + step])
        return costs

    def costs_and_sums(
        self, factors: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns `costs` in double precision, and what `fit` needs.

        Args:
            factors: [13, N] float64, see `polynomials`.

        Returns:
            [N] and [12, N] float64, the sums over each motion's inliers.
        """
        squares = factors.T @ self._terms
        inliers = (squares < self.limit).astype(np.float64)
        np.minimum(squares, self.limit, out=squares)
        return squares.sum(axis=1), self._terms[:12] @ inliers.T


def fit(sums: np.ndarray, model: str) -> np.ndarray:
    """Fits a motion to the inliers of each, by least squares.

    Args:
        sums: [12, N], see `AffineBatch.costs_and_sums`.
        model: "affine" or "similarity".

    Returns:
        [6, N]; numbers are not finite where inliers do not determine the
        motion.
    """
    yy, yx, xx, y, x, count, vy, vx, v, uy, ux, u = sums
    motions = np.empty((6, len(count)))
    with np.errstate(divide="ignore", invalid="ignore"):
        # Covariances, times the number of inliers.
        yy, yx, xx = yy - y * y / count, yx - y * x / count, xx - x * x / count
        vy, vx = vy - v * y / count, vx - v * x / count
        uy, ux = uy - u * y / count, ux - u * x / count
        if model == "similarity":
            size = yy + xx
            motions[0] = motions[4] = (vy + ux) / size
            motions[3] = (uy - vx) / size
            motions[1] = -motions[3]
        else:
            size = yy * xx - yx * yx
            size[size <= 1e-12 * yy * xx] = np.nan
            motions[0], motions[1] = vy * xx - vx * yx, vx * yy - vy * yx
            motions[3], motions[4] = uy * xx - ux * yx, ux * yy - uy * yx
            motions[[0, 1, 3, 4]] /= size
        motions[2] = (v - motions[0] * y - motions[1] * x) / count
        motions[5] = (u - motions[3] * y - motions[4] * x) / count
    return motions


def polynomials(motions: np.ndarray) -> np.ndarray:
    """Returns [13, N], the factors of `AffineBatch`'s terms.

    Args:
        motions: [6, N].
    """
    a, b, c, d, e, f = motions
    factors = np.empty((13, len(a)))
    factors[0] = a * a + d * d
    factors[1] = 2 * (a * b + d * e)
    factors[2] = b * b + e * e
    factors[3] = 2 * (a * c + d * f)
    factors[4] = 2 * (b * c + e * f)
    factors[5] = c * c + f * f
    np.multiply(motions, -2, out=factors[6:12])
    factors[12] = 1
    return factors
