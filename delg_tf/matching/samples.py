"""Motions through a few random matches, all at once.

A motion is a column (a, b, c, d, e, f): y becomes a y + b x + c, and x becomes
d y + e x + f.
"""

import functools

import numpy as np


@functools.lru_cache(maxsize=16)
def uniforms(seed: int, count: int, size: int) -> np.ndarray:
    """Returns [K, N] numbers from 0 to 1, read-only: what `draw` needs.

    Args:
        seed: where chance comes from.
        count: number of samples, N.
        size: length of a sample, K.
    """
    values = np.random.default_rng([seed, size]).random((size, count))
    values.setflags(write=False)
    return values


def draw(values: np.ndarray, population: np.ndarray) -> list[np.ndarray]:
    """Draws samples without repetition within each, from many populations.

    Args:
        values: [K, N], from 0 to 1 (exclusive); see `uniforms`.
        population: [P], what is drawn from: 0 to `population` - 1; each at
            least K.

    Returns:
        K arrays of integers, [P, N].
    """
    rows, ordered = [], []
    for column, row in enumerate(values):
        left = population[:, None] - column
        # Rounding may reach `left`.
        value = np.minimum((row * left).astype(np.int64), left - 1)
        # Steps over what the sample has already, the smallest first.
        for taken in ordered:
            value += value >= taken
        rows.append(value)
        largest, before = value, ordered
        ordered = []
        for taken in before:
            ordered.append(np.minimum(taken, largest))
            largest = np.maximum(taken, largest)
        ordered.append(largest)
    return rows


def similarities(
    source: np.ndarray, target: np.ndarray, rows: list[np.ndarray]
) -> np.ndarray:
    """Returns the rotations with scale and shift through two matches each.

    Args:
        source: [2, M] float64, (y, x).
        target: [2, M] float64.
        rows: two matches a sample, each [...].

    Returns:
        [6, ...]; numbers are not finite where both points are one.
    """
    y, x = source.take(rows[0], axis=1)
    v, u = target.take(rows[0], axis=1)
    dy, dx = source.take(rows[1], axis=1) - (y, x)
    dv, du = target.take(rows[1], axis=1) - (v, u)
    motions = np.empty((6, *y.shape))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        size = dy * dy + dx * dx
        # As y + i x, a rotation with scale is one complex factor.
        cosine = (dv * dy + du * dx) / size
        sine = (du * dy - dv * dx) / size
        motions[0] = motions[4] = cosine
        motions[3] = sine
        np.negative(sine, out=motions[1])
        motions[2] = v - cosine * y + sine * x
        motions[5] = u - sine * y - cosine * x
    return motions


def affinities(
    source: np.ndarray, target: np.ndarray, rows: list[np.ndarray]
) -> np.ndarray:
    """Returns the affine motions through three matches each.

    Args:
        source: [2, M] float64, (y, x).
        target: [2, M] float64.
        rows: three matches a sample, each [...].

    Returns:
        [6, ...]; numbers are not finite where points lie on one line.
    """
    start, end = source.take(rows[0], axis=1), target.take(rows[0], axis=1)
    ay, ax = source.take(rows[1], axis=1) - start
    by, bx = source.take(rows[2], axis=1) - start
    first = target.take(rows[1], axis=1) - end
    second = target.take(rows[2], axis=1) - end
    motions = np.empty((6, *ay.shape))
    linear = motions.reshape(2, 3, *ay.shape)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scale = 1 / (ay * bx - ax * by)
        # Columns of the linear part: what becomes of a unit along y and x.
        linear[:, 0] = (first * bx - second * ax) * scale
        linear[:, 1] = (second * ay - first * by) * scale
        linear[:, 2] = end - linear[:, 0] * start[0] - linear[:, 1] * start[1]
    return motions
