"""What nearest neighbours need beside a matrix product, in one pass each."""

import numpy as np

from delg_tf.matching.kernels.compiling import SUMS, kernel

_LOW = np.int64(0xFFFFFFFF)
_SHIFT = np.int64(32)
_SIGN = np.int32(31)
_REST = np.int32(0x7FFFFFFF)


@kernel()
def first_maxima(
    products: np.ndarray, halves: np.ndarray, rows: np.ndarray
) -> None:
    """Writes where `products - halves` is largest; the first place, of equals.

    Args:
        products: float32 [N, M], M from 1 to 2^31 - 1.
        halves: float32 [M].
        rows: int64 [N].
    """
    size = products.shape[1]
    values = np.empty(size, np.float32)
    bits = values.view(np.int32)
    for point in range(len(products)):
        own = products[point]
        for row in range(size):
            values[row] = own[row] - halves[row]
        # As integers, floats are in order once the bits of negative ones are
        # turned. With the place in the same number the maximum becomes a vector
        # instruction, which that of floats does not.
        best = np.iinfo(np.int64).min
        for row in range(size):
            order = bits[row] ^ ((bits[row] >> _SIGN) & _REST)
            best = max(best, (np.int64(order) << _SHIFT) | np.int64(size - row))
        rows[point] = size - (best & _LOW)


@kernel(SUMS)
def distances_to_rows(
    points: np.ndarray, others: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Returns the Euclidean distances of points to some of the others.

    They come from differences, as the expansion of the square loses digits
    where two descriptors are nearly equal, and the limits are strict.

    Args:
        points: float32 [N, D].
        others: float32 [M, D].
        rows: int64 [N], a row of `others` for each point.

    Returns:
        float64 [N].
    """
    distances = np.empty(len(points))
    for point in range(len(points)):
        own, other = points[point], others[rows[point]]
        square = 0.0
        for column in range(len(own)):
            difference = np.float64(own[column]) - np.float64(other[column])
            square += difference * difference
        distances[point] = np.sqrt(square)
    return distances
