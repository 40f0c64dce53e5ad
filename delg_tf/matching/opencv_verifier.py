"""Geometric verification by OpenCV's RANSAC."""

import cv2
import numpy as np

from delg_tf.matching import transform
from delg_tf.matching.verifier import OneByOneVerifier

# RANSAC stops before the last iteration only when it is this sure that no
# sample without outliers has been missed.
_CONFIDENCE = 0.9999999
# An implausible model's inliers are set aside and the rest is tried again,
# so many times in all.
_ROUNDS = 8

_ESTIMATORS = {
    "affine": cv2.estimateAffine2D,
    "similarity": cv2.estimateAffinePartial2D,
    "homography": cv2.findHomography,
}


class OpenCvVerifier(OneByOneVerifier):
    """RANSAC of OpenCV with its least-squares refinement.

    OpenCV draws the same samples (as row numbers) at each call. The rows are
    therefore sorted by their coordinates and then shuffled by `seed`: the
    result depends on the points and the seed, not on the points' order.
    """

    _method = cv2.RANSAC

    def _fit(
        self, source: np.ndarray, target: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None:
        left = self._shuffled(source, target)
        for _ in range(_ROUNDS):
            if len(left) < self._config.min_putatives:
                return None
            model = self._ransac(source[left], target[left])
            if model is None or not np.isfinite(model).all():
                return None
            model = transform.oriented(model, source[left])
            # OpenCV reports the inliers of the model before its refinement.
            distance = transform.residuals(model, source, target)
            inliers = distance < self._config.residual_threshold
            if transform.is_plausible(model, self._config, source[inliers]):
                return model, inliers
            agreeing = inliers[left]
            if not agreeing.any():
                return None
            left = left[~agreeing]
        return None

    def _shuffled(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Returns [M] row numbers in an order that depends on the seed only."""
        rows = np.lexsort((*source.T, *target.T))
        return np.random.default_rng(self._config.seed).permutation(rows)

    def _ransac(
        self, source: np.ndarray, target: np.ndarray
    ) -> np.ndarray | None:
        """Returns [2, 3] or [3, 3], or None."""
        model, _ = _ESTIMATORS[self._config.model](
            source,
            target,
            method=self._method,
            ransacReprojThreshold=self._config.residual_threshold,
            maxIters=self._config.iterations,
            confidence=_CONFIDENCE,
        )
        return model
