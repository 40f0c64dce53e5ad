"""RANSAC over one pair of images: what `NumpyVerifier` does, compiled."""

import numpy as np

from delg_tf.matching.kernels.compiling import kernel
from delg_tf.matching.kernels.motions import (
    affinity_through,
    cost,
    cost_and_sums,
    fit,
    is_plausible,
    similarity_through,
)
from delg_tf.matching.local_optimisation import CONTINUED, OPTIMISED, ROUNDS


@kernel()
def best_motions(
    source: np.ndarray,
    target: np.ndarray,
    pairs: np.ndarray,
    triples: np.ndarray,
    limit: float,
    largest_square: float,
    reflection: bool,
    similarity: bool,
) -> np.ndarray:
    """Returns the best motions after local optimisation.

    Args:
        source: float64 [2, M], (y, x), centred, of unit size.
        target: float64 [2, M], likewise.
        pairs: [2, N] from 0 to 1, what samples are drawn by.
        triples: [3, T], likewise; T is 0 where there are none.
        limit: the threshold squared.
        largest_square: see `is_plausible`.
        reflection: see `is_plausible`.
        similarity: whether fits are similarities, not affine.

    Returns:
        [K, 6], the best first, K at most `OPTIMISED`.
    """
    best = np.empty((OPTIMISED, 6))
    count = _best_samples(
        source, target, pairs, triples, limit, largest_square, reflection, best
    )
    best = best[:count]
    lowest = _optimise(
        source, target, best, limit, largest_square, reflection, similarity
    )
    return best[np.argsort(lowest, kind="mergesort")]


@kernel()
def _best_samples(
    source: np.ndarray,
    target: np.ndarray,
    pairs: np.ndarray,
    triples: np.ndarray,
    limit: float,
    largest_square: float,
    reflection: bool,
    best: np.ndarray,
) -> int:
    """Fills `best` with the samples of least cost; returns how many."""
    # Single precision is twice as fast, and enough to rank samples.
    sources, targets = source.astype(np.float32), target.astype(np.float32)
    limits = np.float32(limit)
    costs = np.empty(len(best), np.float32)
    motion, single = np.empty(6), np.empty(6, np.float32)
    count = 0
    for sample in range(pairs.shape[1] + triples.shape[1]):
        if sample < pairs.shape[1]:
            i, j = _draw_two(pairs[:, sample], source.shape[1])
            similarity_through(source, target, i, j, motion)
        else:
            drawn = triples[:, sample - pairs.shape[1]]
            i, j, k = _draw_three(drawn, source.shape[1])
            affinity_through(source, target, i, j, k, motion)
        if is_plausible(motion, largest_square, reflection):
            single[:] = motion
            value = cost(sources, targets, single, limits)
            count = _insert(best, costs, count, motion, value)
    return count


@kernel()
def _insert(
    best: np.ndarray,
    costs: np.ndarray,
    count: int,
    motion: np.ndarray,
    value: float,
) -> int:
    """Keeps the motions of least cost, ascending; of equals the first."""
    if count == len(best) and not value < costs[-1]:
        return count
    place = min(count, len(best) - 1)
    while place > 0 and costs[place - 1] > value:
        costs[place], best[place] = costs[place - 1], best[place - 1]
        place -= 1
    costs[place], best[place] = value, motion
    return min(count + 1, len(best))


@kernel()
def _optimise(
    source: np.ndarray,
    target: np.ndarray,
    best: np.ndarray,
    limit: float,
    largest_square: float,
    reflection: bool,
    similarity: bool,
) -> np.ndarray:
    """Fits motions to their inliers as long as that lowers their costs.

    Returns:
        [K], the costs of `best`, which is changed in place.
    """
    lowest = np.full(len(best), np.inf)
    costs, sums = np.empty(len(best)), np.empty((len(best), 12))
    motions = best.copy()
    rows = np.arange(len(best))
    for number in range(ROUNDS):
        for place, row in enumerate(rows):
            costs[place] = cost_and_sums(
                source, target, motions[row], limit, sums[place]
            )
        last = np.inf
        if number == 1 and len(rows) > CONTINUED:
            last = np.sort(costs[: len(rows)])[CONTINUED - 1]
        left = 0
        for place, row in enumerate(rows):
            if costs[place] < lowest[row] and costs[place] <= last:
                lowest[row], best[row] = costs[place], motions[row]
                fit(sums[place], similarity, motions[row])
                if is_plausible(motions[row], largest_square, reflection):
                    rows[left] = row
                    left += 1
        rows = rows[:left]
    return lowest


@kernel()
def _draw_two(values: np.ndarray, population: int) -> tuple[int, int]:
    """See `samples.draw`."""
    i, j = _draw(values[0], population), _draw(values[1], population - 1)
    return i, j + (j >= i)


@kernel()
def _draw_three(values: np.ndarray, population: int) -> tuple[int, int, int]:
    i, j = _draw_two(values, population)
    k = _draw(values[2], population - 2)
    k += k >= min(i, j)
    k += k >= max(i, j)
    return i, j, k


@kernel()
def _draw(value: float, left: int) -> int:
    # Rounding may reach `left`.
    return min(np.int64(value * left), left - 1)
