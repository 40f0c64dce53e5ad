"""An index in memory, for evaluation: exact, whole rankings."""

from collections.abc import Sequence

import faiss
import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.retrieval.descriptors import (
    LEAST_SIMILARITY,
    check_descriptors,
)
from delg_tf.retrieval.index.base import SearchableIndex, Where
from delg_tf.retrieval.index.hits import SearchHits, best_hits
from delg_tf.retrieval.index.names import check_names
from delg_tf.retrieval.index.settings import IndexSettings


class MemoryIndex(SearchableIndex):
    """Names and descriptors of images, searched exactly by FAISS.

    Similarity is the inner product, which is the cosine, because descriptors
    are L2-normalised.

    Images that are too small to have a descriptor keep their ids, and come
    last in every list.
    """

    def __init__(
        self,
        names: Sequence[str],
        descriptors: np.ndarray,
        model: str = "",
    ):
        """Builds the index.

        Args:
            names: distinct names of the images; an image's id is its
                position here.
            descriptors: float32 [N, D], L2-normalised; zeros where an image
                has none.
            model: identity of the features' model, or "".

        Raises:
            InputError: names are not distinct lines of text.
            ValueError: shapes do not fit, or descriptors are not normalised.
        """
        descriptors = check_descriptors("descriptors", descriptors)
        check_names(names)
        if len(names) != len(descriptors):
            raise ValueError(
                f"`names` must have one name a descriptor. Received: "
                f"{len(names)} names, {len(descriptors)} descriptors."
            )
        self._names = tuple(names)
        self._ids = dict(zip(self._names, range(len(self._names))))
        self._settings = IndexSettings(descriptors.shape[1], model=model)
        self._flat = faiss.IndexFlatIP(descriptors.shape[1])
        self._flat.add(descriptors)
        # int64 [E], of images whose row in FAISS is zeros.
        self._empty_ids = np.flatnonzero(~descriptors.any(axis=1))

    def __len__(self) -> int:
        return len(self._names)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the images; an id is a position here."""
        return self._names

    @property
    def settings(self) -> IndexSettings:
        """Dimension and model."""
        return self._settings

    def descriptors(self, names: Sequence[str]) -> np.ndarray:
        """Returns descriptors; see `SearchableIndex.descriptors`."""
        unknown = [name for name in names if name not in self._ids]
        if unknown:
            raise InputError(f"The index has no image {unknown[0]!r}.")
        rows = np.array([self._ids[name] for name in names], np.int64)
        if not len(rows):
            return np.zeros((0, self.dimension), np.float32)
        return self._flat.reconstruct_batch(rows)

    def matching(self, where: Where = None) -> np.ndarray:
        """Returns the ids of all images.

        Raises:
            InputError: a filter is given.
        """
        if where is not None:
            raise InputError(
                "An index in memory has no metadata and takes no filter."
            )
        return np.arange(len(self))

    def search(
        self, queries: np.ndarray, k: int, where: Where = None
    ) -> SearchHits:
        """Finds the most similar images; see `SearchableIndex.search`."""
        k = min(k, len(self.matching(where)))
        if k < 1:
            raise ValueError(f"`k` must be 1 or more. Received: {k}")
        queries = check_descriptors("queries", queries, self.dimension)
        ids = np.tile(np.arange(k), (len(queries), 1))
        similarities = np.full(ids.shape, LEAST_SIMILARITY, np.float32)
        known = queries.any(axis=1)
        if known.any():
            ids[known], similarities[known] = self._search(queries[known], k)
        return SearchHits(self._names, ids, similarities)

    def _search(
        self, queries: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Does what `search` does for queries that have a descriptor."""
        # FAISS keeps any of several equal images at the cut; the order asks
        # for those with the lowest ids. So look deeper until the cut is past
        # the last equal one.
        depth = min(k + 1 + len(self._empty_ids), len(self))
        while True:
            similarities, ids = self._flat.search(queries, depth)
            cut = similarities[:, -1:].copy()
            if len(self._empty_ids):
                empty = np.isin(ids, self._empty_ids)
                similarities[empty] = LEAST_SIMILARITY
            ids, similarities = best_hits(ids, similarities, k)
            if depth == len(self) or np.all(similarities[:, -1:] > cut):
                return ids, similarities
            depth = min(2 * depth, len(self))
