"""Search and re-ranking of a data set's cached features."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.protocols.feature_cache import CachedFeatures
from delg_tf.protocols.joined_features import JoinedSource
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.index.memory import MemoryIndex
from delg_tf.retrieval.inlier_counter import InlierCounter
from delg_tf.retrieval.ranking.config import RankingConfig
from delg_tf.retrieval.ranking.pipeline import Ranker
from delg_tf.retrieval.rerank import RerankConfig
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.search import all_empty
from delg_tf.retrieval.streaming.base import DescriptorSource
from delg_tf.retrieval.streaming.rankings import StreamedRankings
from delg_tf.retrieval.streaming.search import stream_search


class CachedDescriptors(DescriptorSource):
    """Global descriptors of all parts of an index; zeros of skipped images.

    Args:
        parts: of the index, in order.
        dimension: length of a descriptor.
    """

    def __init__(self, parts: Sequence[CachedFeatures], dimension: int):
        self._store = FeatureStore(JoinedSource(parts))
        self._names = [name for part in parts for name in part.names]
        self._skipped = {name for part in parts for name, _ in part.skipped}
        self._dimension = dimension
        self._store.require_global(
            name for name in self._names if name not in self._skipped
        )

    @property
    def names(self) -> Sequence[str]:
        """Names of the images; an id is a position here."""
        return self._names

    @property
    def dimension(self) -> int:
        """Length of a descriptor."""
        return self._dimension

    @property
    def skipped_ids(self) -> np.ndarray:
        """int64, ids of images without features."""
        found = [i for i, n in enumerate(self._names) if n in self._skipped]
        return np.array(found, np.int64)

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Returns descriptors; see `DescriptorSource.rows`."""
        names = [self._names[i] for i in ids]
        known = [i for i, n in enumerate(names) if n not in self._skipped]
        descriptors = np.zeros((len(names), self._dimension), np.float32)
        if known:
            descriptors[known], problems = self._store.readable_descriptors(
                [names[i] for i in known], self._dimension
            )
            if problems:
                raise InputError(next(iter(problems.values())))
        return descriptors


@dataclasses.dataclass(frozen=True, eq=False)
class SearchedFeatures:
    """Features of queries and of the index, opened.

    Attributes:
        query_names: the queries.
        queries: float32 [Q, D], their descriptors.
        index: descriptors of the index images.
        stores: local features of queries and of index images.
    """

    query_names: Sequence[str]
    queries: np.ndarray
    index: CachedDescriptors
    stores: tuple[FeatureStore, FeatureStore]

    @classmethod
    def open(
        cls, queries: CachedFeatures, index: Sequence[CachedFeatures]
    ) -> "SearchedFeatures":
        """Opens cached features.

        Raises:
            InputError: some are missing or damaged, or all are empty.
        """
        store = FeatureStore(queries.open())
        descriptors = store.global_descriptors(queries.names)
        if not descriptors.size:
            raise all_empty(store, len(queries.names))
        return cls(
            queries.names,
            descriptors,
            CachedDescriptors(index, descriptors.shape[1]),
            (store, FeatureStore(JoinedSource(index))),
        )

    def counter(self, config: RerankConfig) -> InlierCounter:
        """Returns what verifies pairs of them."""
        return config.counter(*self.stores)

    def search(
        self,
        labelled: Sequence[np.ndarray],
        top: int,
        memory_mib: int,
        ranking: RankingConfig,
        reranking: RerankConfig | None,
    ) -> StreamedRankings:
        """Ranks the index images for each query.

        Args:
            labelled: for each query the ids of right images and of junk.
            top: length of the lists, at most.
            memory_mib: see `stream_search`; other methods than plain search
                hold all descriptors and whole rankings.
            ranking: the methods.
            reranking: for query expansion that wants inliers.

        Raises:
            InputError: features are damaged.
        """
        if ranking.is_plain:
            return stream_search(
                self.index,
                self.query_names,
                self.queries,
                labelled,
                top,
                memory_mib,
            )
        names = self.index.names
        every = self.index.rows(np.arange(len(names)))
        results = Ranker(MemoryIndex(names, every), ranking).rank(
            self.query_names,
            self.queries,
            counter=self.counter(reranking) if reranking else None,
            num_to_rerank=reranking.num_to_rerank if reranking else 0,
        )
        return _of_whole(results, labelled, top)


def _of_whole(
    results: SearchResults, labelled: Sequence[np.ndarray], top: int
) -> StreamedRankings:
    """Keeps of whole rankings what streamed ones have."""
    labelled = tuple(np.unique(ids).astype(np.int64) for ids in labelled)
    places = tuple(
        np.argsort(ranks)[ids].astype(np.int64)
        for ranks, ids in zip(results.ranks, labelled)
    )
    return StreamedRankings(results.first(top), labelled, places)
