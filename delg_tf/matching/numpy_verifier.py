"""Geometric verification in NumPy: all samples at once."""

import itertools

import numpy as np

from delg_tf.matching import homography, samples, transform
from delg_tf.matching.affine_batch import AffineBatch
from delg_tf.matching.verifier import Verifier

# So many of the best samples are optimised locally; after one round so many
# of them go on, for so many rounds in all.
_OPTIMISED = 32
_CONTINUED = 12
_ROUNDS = 6
# Samples of two matches for one of three.
_PAIRS_A_TRIPLE = 4
# Of these so many become homographies.
_HOMOGRAPHIES = 4


class NumpyVerifier(Verifier):
    """RANSAC with samples of two matches, beside those of three.

    At few inliers a sample of three is hardly ever without an outlier: one in
    8,000 at 5 %, but one in 400 of those of two. Two matches determine a
    similarity, which an affine motion resembles near them: enough for local
    optimisation (Chum et al., Locally Optimized RANSAC, 2003; Philbin et al.,
    2007, go down to one match, where features' scales say enough) to find the
    rest. Samples of three stay for motions that resemble no similarity.

    Motions that no camera could cause are left out before anything is counted.
    The others are ranked by the sum of their truncated squared residuals
    (MSAC), and the best are fitted to their inliers until they do not improve.

    Matches are sorted by their coordinates first: the result depends on the
    points and the seed, not on the points' order.
    """

    def _fit(
        self, source: np.ndarray, target: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None:
        order = np.lexsort((*source.T, *target.T))
        batch = AffineBatch(
            source[order], target[order], self._config.residual_threshold
        )
        models = self._hypotheses(batch)
        if len(models) == 0:
            return None
        best = np.argsort(batch.costs(models), kind="stable")[:_OPTIMISED]
        models = map(batch.in_pixels, self._optimise(batch, models[best]))
        if self._config.model == "homography":
            models = homography.refine(
                itertools.islice(models, _HOMOGRAPHIES),
                source[order],
                target[order],
                self._config,
            )
        for model in models:
            distance = transform.residuals(model, source, target)
            inliers = distance < self._config.residual_threshold
            if transform.is_plausible(model, self._config, source[inliers]):
                return model, inliers
        return None

    def _hypotheses(self, batch: AffineBatch) -> np.ndarray:
        """Returns [N, 2, 3], the plausible motions through samples."""
        config = self._config
        rng = np.random.default_rng(config.seed)
        points = batch.source, batch.target
        population = len(batch.source)
        pairs = samples.draw(rng, config.iterations, population, 2)
        found = [samples.similarities(*points, pairs)]
        if config.model != "similarity":
            count = -(-config.iterations // _PAIRS_A_TRIPLE)
            triples = samples.draw(rng, count, population, 3)
            found.append(samples.affinities(*points, triples))
        return self._plausible(np.concatenate(found))

    def _plausible(self, models: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", over="ignore"):
            kept = np.isfinite(models).all(axis=(1, 2))
            kept &= transform.are_plausible(models[:, :, :2], self._config)
        return models[kept]

    def _optimise(self, batch: AffineBatch, models: np.ndarray) -> np.ndarray:
        """Fits each motion to its inliers, as long as that lowers its cost.

        Args:
            batch: the matches.
            models: [K, 2, 3].

        Returns:
            [K, 2, 3], the best first.
        """
        kind = "similarity" if self._config.model == "similarity" else "affine"
        best, lowest = models.copy(), np.full(len(models), np.inf)
        rows = np.arange(len(models))
        for number in range(_ROUNDS):
            costs, inliers = batch.costs_and_inliers(models)
            better = costs < lowest[rows]
            if number == 1:
                better &= costs <= np.sort(costs)[:_CONTINUED][-1]
            rows, models = rows[better], models[better]
            best[rows], lowest[rows] = models, costs[better]
            models = batch.fit(inliers[better], kind)
            kept = np.isfinite(models).all(axis=(1, 2))
            with np.errstate(invalid="ignore", over="ignore"):
                kept &= transform.are_plausible(models[:, :, :2], self._config)
            rows, models = rows[kept], models[kept]
            if len(rows) == 0:
                break
        return best[np.argsort(lowest, kind="stable")]
