"""Nearest neighbours of binary codes by Hamming distance."""

from typing import Any

import numba
import numpy as np
from numba import extending

from delg_tf.matching.kernels.compiling import kernel

_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


@extending.intrinsic
def _ones(typingctx: Any, value: numba.types.Type) -> tuple:
    """The number of bits that are 1, an instruction of the processor."""

    def generate(
        context: Any, builder: Any, signature: Any, args: tuple
    ) -> Any:
        return builder.ctpop(args[0])

    return value(value), generate


@kernel()
def nearest_words(
    points: np.ndarray, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the nearest of the others of each point; the lowest, of equals.

    Args:
        points: [N, W] uint64, words of codes.
        others: [W, M] uint64, transposed; M is from 1 to 2^32 - 1.

    Returns:
        Hamming distances, int32 [N], and rows, int64 [N].
    """
    count, size = points.shape
    rows = np.empty(count, np.int64)
    hamming = np.empty(count, np.int32)
    distances = np.empty(others.shape[1], np.uint64)
    for point in range(count):
        distances[:] = 0
        for word in range(size):
            own, column = points[point, word], others[word]
            for row in range(len(distances)):
                distances[row] += _ones(own ^ column[row])
        # Distance and row in one number: its minimum is a vector instruction,
        # that of two arrays is not.
        best = (distances[0] << _SHIFT) | np.uint64(0)
        for row in range(len(distances)):
            best = min(best, (distances[row] << _SHIFT) | np.uint64(row))
        rows[point] = best & _LOW
        hamming[point] = best >> _SHIFT
    return hamming, rows
