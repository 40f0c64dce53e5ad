"""Descriptors of index images, wherever they are kept."""

from collections.abc import Callable

import numpy as np

from delg_tf.retrieval.index.base import SearchableIndex

# int [...] ids to float32 [..., D]: L2-normalised, or zeros for an image
# without a descriptor.
Descriptors = Callable[[np.ndarray], np.ndarray]


def of_array(descriptors: np.ndarray) -> Descriptors:
    """Descriptors in memory, or in a mapped file.

    Args:
        descriptors: float32 [N, D].
    """
    return lambda ids: np.asarray(descriptors[ids], np.float32)


def of_index(index: SearchableIndex) -> Descriptors:
    """Descriptors of an index's images, read when they are asked for.

    Args:
        index: the index; an id is a position in its names.
    """

    def read(ids: np.ndarray) -> np.ndarray:
        unique, places = np.unique(ids, return_inverse=True)
        found = index.descriptors([index.names[i] for i in unique])
        return found[places.reshape(ids.shape)]

    return read
