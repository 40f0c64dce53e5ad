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
        source: [M, 2] float64, contiguous.
        target: [M, 2] float64, contiguous.
        rows: [N, 2], two matches a sample.

    Returns:
        [N, 2, 3]; numbers are not finite where both points are one.
    """
    # As y + i x, a rotation with scale is one complex factor.
    first, second = rows.T
    before = source.view(np.complex128)[:, 0]
    after = target.view(np.complex128)[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = (after[second] - after[first]) / (
            before[second] - before[first]
        )
        shift = after[first] - factor * before[first]
    models = np.empty((len(rows), 2, 3))
    models[:, 0, 0] = models[:, 1, 1] = factor.real
    models[:, 1, 0] = factor.imag
    models[:, 0, 1] = -factor.imag
    models[:, 0, 2], models[:, 1, 2] = shift.real, shift.imag
    return models


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
        moved = np.einsum("nij,nj->ni", linear, source[first])
    shift = (target[first] - moved)[:, :, None]
    return np.concatenate([linear, shift], axis=2)
