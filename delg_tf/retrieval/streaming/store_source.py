"""Descriptors of feature files, of a store or of an index."""

from collections.abc import Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.index.base import SearchableIndex
from delg_tf.retrieval.streaming.base import DescriptorSource


class StoreSource(DescriptorSource):
    """Global descriptors as extraction has left them."""

    def __init__(
        self, store: FeatureStore, names: Sequence[str], dimension: int
    ):
        """Takes the store.

        Args:
            store: the features.
            names: the images, in the order of their ids.
            dimension: D, for instance that of the queries.

        Raises:
            InputError: the store has no descriptor of an image.
        """
        store.require_global(names)
        self._store = store
        self._names = names
        self._dimension = dimension

    @property
    def names(self) -> Sequence[str]:
        """Names of the images."""
        return self._names

    @property
    def dimension(self) -> int:
        """Length of a descriptor, D."""
        return self._dimension

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Returns descriptors; see `DescriptorSource.rows`."""
        if not len(ids):
            return np.zeros((0, self._dimension), np.float32)
        descriptors, problems = self._store.readable_descriptors(
            [self._names[i] for i in ids], self._dimension
        )
        if problems:
            raise InputError(
                f"{len(problems)} bad global descriptors, the first: "
                f"{next(iter(problems.values()))}"
            )
        return descriptors


class IndexSource(DescriptorSource):
    """Global descriptors as an index stores them, of any kind and place.

    Those of an approximate kind are what it keeps of them.
    """

    def __init__(self, index: SearchableIndex):
        """Takes the index; ids are its own."""
        self._index = index
        self._names = index.names

    @property
    def names(self) -> Sequence[str]:
        """Names of the images."""
        return self._names

    @property
    def dimension(self) -> int:
        """Length of a descriptor, D."""
        return self._index.dimension

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Returns descriptors; see `DescriptorSource.rows`."""
        return self._index.descriptors([self._names[i] for i in ids])

    def release(self) -> None:
        """Lets go of pages of a mapped index."""
        self._index.release_memory()
