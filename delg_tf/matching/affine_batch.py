"""Many affine motions against the same matches, by matrix products.

The squared residual of a motion is a polynomial of the match's coordinates, so
residuals of all motions are one matrix product. So are the sums that least
squares over the inliers of each motion need.
"""

import numpy as np

# Residuals computed at a time; they stay in a processor's cache.
_AT_A_TIME = 1 << 16


class AffineBatch:
    """M matches, in coordinates that keep the products precise.

    Args:
        source: [M, 2] float64.
        target: [M, 2] float64.
        threshold: pixels, from which on a match is no inlier.
    """

    def __init__(
        self, source: np.ndarray, target: np.ndarray, threshold: float
    ):
        self._centres = source.mean(axis=0), target.mean(axis=0)
        source = source - self._centres[0]
        target = target - self._centres[1]
        self._unit = max(np.abs(source).max(), np.abs(target).max(), 1e-9)
        self.source = source / self._unit
        self.target = target / self._unit
        self._limit = (threshold / self._unit) ** 2
        (y, x), (v, u) = self.source.T, self.target.T
        # [12 + 1, M]; see `_polynomials` and `_Sums`.
        self._terms = np.stack(
            [y * y, y * x, x * x, y, x, np.ones(len(y)),
             v * y, v * x, v, u * y, u * x, u, v * v + u * u]
        )  # fmt: skip

    def in_pixels(self, model: np.ndarray) -> np.ndarray:
        """Returns [2, 3] for pixels of one that is for `source`, `target`."""
        linear = model[:, :2]
        shift = model[:, 2] * self._unit + self._centres[1]
        shift = shift - linear @ self._centres[0]
        return np.column_stack([linear, shift])

    def costs(self, models: np.ndarray) -> np.ndarray:
        """Returns [N] float32, the sum of truncated squared residuals.

        It is MSAC's cost: an outlier costs as much as the threshold squared.

        Args:
            models: [N, 2, 3].
        """
        terms = self._terms.astype(np.float32)
        ones = np.ones(terms.shape[1], np.float32)
        factors = _polynomials(models).astype(np.float32)
        costs = np.empty(len(models), np.float32)
        step = max(1, _AT_A_TIME // terms.shape[1])
        # With an array NumPy takes minima several times faster than with a
        # number.
        limits = np.full((step, terms.shape[1]), self._limit, np.float32)
        for start in range(0, len(models), step):
            squares = factors[start : start + step] @ terms
            np.minimum(squares, limits[: len(squares)], out=squares)
            # A product with ones adds faster than a sum.
            np.matmul(squares, ones, out=costs[start : start + step])
        return costs

    def costs_and_inliers(
        self, models: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns `costs` in double precision, and inliers [N, M] bool."""
        squares = _polynomials(models) @ self._terms
        inliers = squares < self._limit
        return np.minimum(squares, self._limit).sum(axis=1), inliers

    def fit(self, inliers: np.ndarray, model: str) -> np.ndarray:
        """Fits a motion to each row of inliers, by least squares.

        Args:
            inliers: [N, M] bool.
            model: "affine" or "similarity".

        Returns:
            [N, 2, 3]; numbers are not finite where inliers do not determine
            the motion.
        """
        sums = (inliers.astype(np.float64) @ self._terms.T).T
        yy, yx, xx, y, x, count, vy, vx, v, uy, ux, u, _ = sums
        with np.errstate(divide="ignore", invalid="ignore"):
            # Covariances, times the number of inliers.
            yy, yx, xx = (
                yy - y * y / count,
                yx - y * x / count,
                xx - x * x / count,
            )
            vy, vx = vy - v * y / count, vx - v * x / count
            uy, ux = uy - u * y / count, ux - u * x / count
            if model == "similarity":
                size = yy + xx
                cosine, sine = (vy + ux) / size, (uy - vx) / size
                linear = np.array([[cosine, -sine], [sine, cosine]])
            else:
                size = yy * xx - yx * yx
                size[size <= 1e-12 * yy * xx] = np.nan
                linear = np.array(
                    [[vy * xx - vx * yx, vx * yy - vy * yx],
                     [uy * xx - ux * yx, ux * yy - uy * yx]]
                ) / size  # fmt: skip
            shift = (
                np.array([v, u]) - linear[:, 0] * y - linear[:, 1] * x
            ) / count
        return np.concatenate([linear, shift[:, None]], axis=1).transpose(
            2, 0, 1
        )


def _polynomials(models: np.ndarray) -> np.ndarray:
    """Returns [N, 13], the factors of `AffineBatch`'s terms."""
    (a, b, c), (d, e, f) = models.transpose(1, 2, 0)
    return np.stack(
        [a * a + d * d, 2 * (a * b + d * e), b * b + e * e,
         2 * (a * c + d * f), 2 * (b * c + e * f), c * c + f * f,
         -2 * a, -2 * b, -2 * c, -2 * d, -2 * e, -2 * f, np.ones(len(models))],
        axis=1,
    )  # fmt: skip
