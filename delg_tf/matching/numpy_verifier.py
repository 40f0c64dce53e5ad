"""Geometric verification in NumPy: all samples at once."""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from delg_tf.matching import homography, samples, transform
from delg_tf.matching.affine_batch import AffineBatch, fit, polynomials
from delg_tf.matching.local_optimisation import (
    CONTINUED,
    OPTIMISED,
    PAIRS_A_TRIPLE,
    ROUNDS,
)
from delg_tf.matching.verifier import Fitted, Points, Verifier

# Of the best motions so many become homographies.
_HOMOGRAPHIES = 4
# Samples held at a time, those of several pairs together.
_SAMPLES_AT_A_TIME = 1 << 14
# Matches are sorted by a sum of their coordinates, times these, that hardly any
# two have in common: sorting once is faster than by each coordinate.
_MIX = (12.9898233, 78.2331417, 37.7191513, 51.1375639)


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

    Matches are put into an order that their coordinates decide: the result
    depends on the points and the seed, not on the points' order.

    Several pairs of images are computed together, as NumPy takes as long to
    begin with a small array as to work on it. What is computed together are
    single numbers, and products are of one pair each: a pair's result does not
    depend on the others.
    """

    def _fit_all(self, pairs: Sequence[Points]) -> list[Fitted]:
        samples_of_pair = self._config.iterations + self._triples()
        step = max(1, _SAMPLES_AT_A_TIME // samples_of_pair)
        return [
            found
            for start in range(0, len(pairs), step)
            for found in self._fit_some(pairs[start : start + step])
        ]

    def _fit_some(self, pairs: Sequence[Points]) -> list[Fitted]:
        batches = []
        for source, target in pairs:
            order = _order(source, target)
            batches.append(
                AffineBatch(
                    source[order],
                    target[order],
                    self._config.residual_threshold,
                )
            )
        return [
            self._first_plausible(map(batch.in_pixels, motions), *points)
            for batch, motions, points in zip(
                batches, self._motions(batches), pairs, strict=True
            )
        ]

    def _motions(self, batches: Sequence[AffineBatch]) -> list[np.ndarray]:
        """Returns [K, 6] for each batch, the best motions first."""
        return self._optimise(batches, *self._best(batches))

    def _first_plausible(
        self,
        models: Iterable[np.ndarray],
        source: np.ndarray,
        target: np.ndarray,
    ) -> Fitted:
        if self._config.model == "homography":
            order = _order(source, target)
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

    def _triples(self) -> int:
        """Returns the number of samples of three."""
        if self._config.model == "similarity":
            return 0
        return -(-self._config.iterations // PAIRS_A_TRIPLE)

    def _hypotheses(
        self, batches: Sequence[AffineBatch]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the plausible motions through samples.

        Returns:
            [6, N], and how many of them are each pair's.
        """
        seed, iterations = self._config.seed, self._config.iterations
        source = np.concatenate([batch.source for batch in batches], axis=1)
        target = np.concatenate([batch.target for batch in batches], axis=1)
        population = np.array([batch.source.shape[1] for batch in batches])
        first = (np.cumsum(population) - population)[:, None]

        def rows(count: int, size: int) -> list[np.ndarray]:
            values = samples.uniforms(seed, count, size)
            return [row + first for row in samples.draw(values, population)]

        motions = samples.similarities(source, target, rows(iterations, 2))
        if self._triples():
            triples = rows(self._triples(), 3)
            affine = samples.affinities(source, target, triples)
            motions = np.concatenate([motions, affine], axis=2)
        counts = motions.shape[2]
        motions = motions.reshape(6, -1)
        kept = self._plausible(motions)
        counts = kept.reshape(len(batches), counts).sum(axis=1)
        return motions.take(np.flatnonzero(kept), axis=1), counts

    def _plausible(self, motions: np.ndarray) -> np.ndarray:
        """Returns [N] bool for [6, N]."""
        with np.errstate(invalid="ignore", over="ignore"):
            a, b, _, d, e, _ = motions
            kept = transform.are_plausible_parts(a, b, d, e, self._config)
            kept &= np.isfinite(motions.sum(axis=0))
        return kept

    def _best(
        self, batches: Sequence[AffineBatch]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns [6, N], the best samples' motions, and each one's pair."""
        motions, counts = self._hypotheses(batches)
        factors = polynomials(motions).astype(np.float32)
        ends = np.cumsum(counts)
        best = [
            start
            + np.argsort(batch.costs(factors[:, start:end]), kind="stable")[
                :OPTIMISED
            ]
            for batch, start, end in zip(
                batches, ends - counts, ends, strict=True
            )
        ]
        owners = np.repeat(np.arange(len(best)), [len(rows) for rows in best])
        return motions.take(np.concatenate(best), axis=1), owners

    def _optimise(
        self,
        batches: Sequence[AffineBatch],
        motions: np.ndarray,
        owners: np.ndarray,
    ) -> list[np.ndarray]:
        """Fits each motion to its inliers, as long as that lowers its cost.

        Args:
            batches: the matches.
            motions: [6, N].
            owners: [N], which batch each belongs to, ascending.

        Returns:
            [K, 6] for each batch, the best first.
        """
        kind = "similarity" if self._config.model == "similarity" else "affine"
        best, lowest = motions.copy(), np.full(len(owners), np.inf)
        limits = np.searchsorted(owners, np.arange(len(batches) + 1))
        rows = np.arange(len(owners))
        for number in range(ROUNDS):
            factors = polynomials(motions)
            costs, sums = np.empty(len(rows)), np.empty((12, len(rows)))
            better = np.empty(len(rows), bool)
            places = np.searchsorted(rows, limits)
            for batch, start, end in zip(batches, places, places[1:]):
                if start == end:
                    continue
                part = slice(start, end)
                costs[part], sums[:, part] = batch.costs_and_sums(
                    factors[:, part]
                )
                better[part] = costs[part] < lowest[rows[part]]
                if number == 1 and end - start > CONTINUED:
                    last = np.partition(costs[part], CONTINUED - 1)
                    better[part] &= costs[part] <= last[CONTINUED - 1]
            rows = rows[better]
            best[:, rows], lowest[rows] = motions[:, better], costs[better]
            motions = fit(sums[:, better], kind)
            kept = self._plausible(motions)
            rows, motions = rows[kept], motions[:, kept]
            if len(rows) == 0:
                break
        return [
            best[:, start + np.argsort(lowest[start:end], kind="stable")].T
            for start, end in itertools.pairwise(limits)
        ]


def _order(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Returns [M] row numbers in an order that the coordinates decide."""
    (y, x), (v, u) = source.T, target.T
    with np.errstate(invalid="ignore", over="ignore"):
        mixed = y * _MIX[0] + x * _MIX[1] + v * _MIX[2] + u * _MIX[3]
    return np.argsort(mixed, kind="stable")
