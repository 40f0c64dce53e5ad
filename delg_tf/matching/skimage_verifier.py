"""Geometric verification by scikit-image: the reference."""

import warnings

import numpy as np
from skimage import measure
from skimage import transform as skimage_transform

from delg_tf.matching import transform
from delg_tf.matching.verifier import OneByOneVerifier

# That a pair has no model is a result. (The filter is set once, as setting it
# for each pair would not be safe among threads.)
for _message in ("No inliers found", "Estimated model is not valid"):
    warnings.filterwarnings("ignore", _message, module="skimage.measure")

# The model and the matches that determine it.
_MODELS = {
    "affine": (skimage_transform.AffineTransform, 3),
    "similarity": (skimage_transform.SimilarityTransform, 2),
    "homography": (skimage_transform.ProjectiveTransform, 4),
}


class SkimageVerifier(OneByOneVerifier):
    """RANSAC as the official code calls it (image_reranking.py).

    All iterations run. The inliers are those of the best sample's model; the
    model is fitted to them in the end. As in the official code the result
    depends on the order of the matches.
    """

    def _fit(
        self, source: np.ndarray, target: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None:
        model_class, min_samples = _MODELS[self._config.model]
        fitted, inliers = measure.ransac(
            (source, target),
            model_class,
            min_samples=min_samples,
            residual_threshold=self._config.residual_threshold,
            max_trials=self._config.iterations,
            is_model_valid=self._is_valid,
            rng=self._config.seed,
        )
        if fitted is None or inliers is None:
            return None
        model = self._model(fitted, source[inliers])
        if not transform.is_plausible(model, self._config, source[inliers]):
            return None
        return model, inliers

    def _is_valid(
        self,
        fitted: skimage_transform.ProjectiveTransform,
        source: np.ndarray,
        target: np.ndarray,
    ) -> bool:
        model = self._model(fitted, source)
        return transform.is_plausible(model, self._config, source)

    def _model(
        self, fitted: skimage_transform.ProjectiveTransform, points: np.ndarray
    ) -> np.ndarray:
        rows = 3 if self._config.model == "homography" else 2
        model = np.array(fitted.params[:rows], np.float64)
        return transform.oriented(model, points)
