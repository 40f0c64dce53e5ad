"""Descriptors of index images, wherever they are kept."""

from collections.abc import Callable, Sequence

import numpy as np

from delg_tf.retrieval.feature_store import FeatureStore

# int [...] ids to float32 [..., D]: L2-normalised, or zeros for an image
# without a descriptor.
Descriptors = Callable[[np.ndarray], np.ndarray]


def of_array(descriptors: np.ndarray) -> Descriptors:
    """Descriptors in memory, or in a mapped file.

    Args:
        descriptors: float32 [N, D].
    """
    return lambda ids: np.asarray(descriptors[ids], np.float32)


def of_store(
    store: FeatureStore, names: Sequence[str], dimension: int
) -> Descriptors:
    """Descriptors in feature files, read when they are asked for.

    Args:
        store: features of the index images.
        names: of the index images; an id is a position here.
        dimension: D.

    Returns:
        A function that raises InputError for missing or damaged files.
    """

    def read(ids: np.ndarray) -> np.ndarray:
        unique, places = np.unique(ids, return_inverse=True)
        found = store.global_descriptors([names[i] for i in unique])
        if not found.size:
            found = np.zeros((len(unique), dimension), np.float32)
        return found[places.reshape(ids.shape)]

    return read
