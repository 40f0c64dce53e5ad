"""Which visual words are nearest to a feature."""

import numpy as np

# Numbers of the table of distances held at a time: 64 MiB.
_TABLE = 1 << 24
# Rounding of a float32 product of unit vectors, with room to spare: words
# whose distances differ by less are compared exactly.
_ROUNDING = 1e-5


def nearest_words(
    features: np.ndarray,
    words: np.ndarray,
    num_assignments: int = 1,
    batch_size: int = 0,
) -> np.ndarray:
    """Finds the visual words of the smallest Euclidean distance.

    All distances of a batch come from one matrix product in float32; those
    that are too close to call are computed again in float64. The result is
    thus that of sorting all exact distances.

    Args:
        features: float32 [N, D].
        words: float32 [K, D].
        num_assignments: A, words for each feature, from 1 to K.
        batch_size: features at a time; 0 or less: as many as suit the memory.

    Returns:
        int32 [N, A], nearest first; of equally near ones the lower first.

    Raises:
        ValueError: shapes do not fit, or A is out of range.
    """
    features = np.asarray(features, np.float32)
    if features.ndim != 2 or features.shape[1] != words.shape[1]:
        raise ValueError(
            f"`features` must be [N, {words.shape[1]}]. Received: "
            f"{features.shape}."
        )
    if not 1 <= num_assignments <= len(words):
        raise ValueError(
            f"`num_assignments` must be from 1 to {len(words)}. Received: "
            f"{num_assignments}."
        )
    most = max(1, _TABLE // len(words))
    size = min(batch_size, most) if batch_size > 0 else most
    squares = np.einsum("kd,kd->k", words, words)
    nearest = np.empty((len(features), num_assignments), np.int32)
    for start in range(0, len(features), size):
        batch = slice(start, start + size)
        nearest[batch] = _nearest(
            features[batch], words, squares, num_assignments
        )
    return nearest


def _nearest(
    features: np.ndarray,
    words: np.ndarray,
    squares: np.ndarray,
    num_assignments: int,
) -> np.ndarray:
    # The feature's own square is the same for all words.
    table = features @ words.T
    table *= -2
    table += squares
    if num_assignments == 1:
        bound = table.min(axis=1)
    else:
        last = num_assignments - 1
        bound = np.partition(table, last, axis=1)[:, last]
    largest = np.einsum("nd,nd->n", features, features) + squares.max()
    bound = bound + _ROUNDING * largest
    rows, candidates = np.nonzero(table <= bound[:, np.newaxis])
    difference = features[rows].astype(np.float64) - words[candidates]
    exact = np.einsum("cd,cd->c", difference, difference)
    order = np.lexsort((candidates, exact, rows))
    # Every row has A candidates or more; its first one's place in the order.
    first = np.searchsorted(rows[order], np.arange(len(features)))
    places = first[:, np.newaxis] + np.arange(num_assignments)
    return candidates[order][places]
