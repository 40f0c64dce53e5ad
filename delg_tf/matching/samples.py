"""Motions through a few random matches, all at once."""

import numpy as np


def draw(
    rng: np.random.Generator, count: int, population: int, size: int
) -> np.ndarray:
    """Draws samples without repetition within each.

    Args:
        rng: where chance comes from.
        count: number of samples, N.
        population: what is drawn from: 0 to `population` - 1; at least `size`.
        size: length of a sample, K.

    Returns:
        [N, K] integers.
    """
    rows = np.empty((count, size), np.int64)
    for column in range(size):
        value = rng.integers(0, population - column, count)
        # Steps over what the sample has already, the smallest first.
        for taken in np.sort(rows[:, :column], axis=1).T:
            value += value >= taken
        rows[:, column] = value
    return rows


def similarities(
    source: np.ndarray, target: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Returns the rotations with scale and shift through two matches each.

    Args:
        source: [M, 2] float64.
        target: [M, 2] float64.
        rows: [N, 2], two matches a sample.

    Returns:
        [N, 2, 3]; numbers are not finite where both points are one.
    """
    before = np.subtract(*source[rows.T])
    after = np.subtract(*target[rows.T])
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.einsum("nd,nd->n", before, before)
        cosine = np.einsum("nd,nd->n", before, after) / size
        sine = (before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) / size
        linear = np.stack([cosine, -sine, sine, cosine], axis=1)
        return _with_shift(linear.reshape(-1, 2, 2), source, target, rows)


def affinities(
    source: np.ndarray, target: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Returns the affine motions through three matches each.

    Args:
        source: [M, 2] float64.
        target: [M, 2] float64.
        rows: [N, 3], three matches a sample.

    Returns:
        [N, 2, 3]; numbers are not finite where points lie on one line.
    """
    first, second, third = rows.T
    before = (source[second] - source[first], source[third] - source[first])
    after = (target[second] - target[first], target[third] - target[first])
    (ay, ax), (by, bx) = before[0].T, before[1].T
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / (ay * bx - ax * by)
        # Columns of the linear part: what becomes of a unit along y and x.
        down = (after[0] * bx[:, None] - after[1] * ax[:, None]) * scale[
            :, None
        ]
        right = (after[1] * ay[:, None] - after[0] * by[:, None]) * scale[
            :, None
        ]
        linear = np.stack([down, right], axis=2)
        return _with_shift(linear, source, target, rows)


def _with_shift(
    linear: np.ndarray, source: np.ndarray, target: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Appends to [N, 2, 2] the shift that takes the first match along."""
    first = rows[:, 0]
    moved = np.einsum("nij,nj->ni", linear, source[first])
    return np.concatenate([linear, (target[first] - moved)[:, :, None]], axis=2)
