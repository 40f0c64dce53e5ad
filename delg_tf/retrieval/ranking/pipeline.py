"""The search and the methods around it, in a row."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.index.base import SearchableIndex, Where
from delg_tf.retrieval.index.memory import MemoryIndex
from delg_tf.retrieval.inlier_counter import InlierCounter
from delg_tf.retrieval.ranking.config import RankingConfig
from delg_tf.retrieval.ranking.database_augmentation import augment_descriptors
from delg_tf.retrieval.ranking.descriptors import of_array, of_index
from delg_tf.retrieval.ranking.query_expansion import expand_queries
from delg_tf.retrieval.ranking.rescoring import diffuse, rerank_k_reciprocal
from delg_tf.retrieval.rerank import rerank
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.search import query_descriptors, search


class Ranker:
    """Ranks by the methods that are asked for, each on the best that is known.

    Methods that follow database augmentation see the augmented descriptors,
    and what follows query expansion the expanded queries. Diffusion and
    k-reciprocal re-ranking come after query expansion, because they take the
    top of a list apart but find no image below it. Geometric re-ranking comes
    after all of them (`rerank`), because it alone looks at the images
    themselves.
    """

    def __init__(
        self,
        index: SearchableIndex,
        config: RankingConfig,
    ):
        """Augments the database, if that is asked for.

        Args:
            index: the images to search.
            config: the methods.

        Raises:
            InputError: feature files are missing or damaged.
        """
        self._config = config
        descriptors = of_index(index)
        augmentation = config.database_augmentation
        if augmentation and augmentation.images:
            augmented = augment_descriptors(
                descriptors(np.arange(len(index))),
                augmentation.images,
                augmentation.alpha,
            )
            index = MemoryIndex(index.names, augmented, index.settings.model)
            descriptors = of_array(augmented)
        self._index = index
        self._descriptors = descriptors

    def rank(
        self,
        query_names: Sequence[str],
        queries: np.ndarray,
        num_results: int | None = None,
        counter: InlierCounter | None = None,
        num_to_rerank: int = 100,
        where: Where = None,
    ) -> SearchResults:
        """Ranks index images for queries.

        Args:
            query_names: names of the queries.
            queries: float32 [Q, D], L2-normalised; zeros for a query without
                a descriptor.
            num_results: length of each list; None for the whole index.
            counter: counts inliers, for query expansion that demands them.
            num_to_rerank: images of each list that are verified for it.
            where: a filter that images must pass; not with database
                augmentation, whose images know nothing else.

        Returns:
            Lists of `num_results` images, not re-ranked geometrically.

        Raises:
            InputError: feature files are missing or damaged, or inliers are
                demanded without a counter.
            ValueError: shapes do not fit, or `num_results` is out of range.
        """
        config, size = self._config, len(self._index)
        if where is not None and isinstance(self._index, MemoryIndex):
            raise InputError(
                "--where does not go together with --database_augmentation."
            )
        if config.query_expansion and config.query_expansion.images:
            queries = self._expanded(
                query_names, queries, counter, num_to_rerank, where
            )
        final = config.diffusion or config.k_reciprocal
        depth = size if num_results is None else num_results
        if final:
            depth = min(max(depth, final.depth), size)
        results = dataclasses.replace(
            search(self._index, query_names, queries, depth, where),
            ranked_by=_cosine_of(config),
        )
        if config.diffusion:
            results = diffuse(results, queries, self._descriptors, final)
        if config.k_reciprocal:
            results = rerank_k_reciprocal(
                results, queries, self._descriptors, final
            )
        return results.first(num_results)

    def _expanded(
        self,
        query_names: Sequence[str],
        queries: np.ndarray,
        counter: InlierCounter | None,
        num_to_rerank: int,
        where: Where,
    ) -> np.ndarray:
        """Searches, verifies if inliers are demanded, and expands."""
        config = self._config.query_expansion
        if config.min_inliers and counter is None:
            raise InputError(
                "--query_expansion_min_inliers needs geometric re-ranking: "
                "pass --rerank or --use_geometric_verification, whichever the "
                "tool has, or leave it at 0."
            )
        depth = num_to_rerank if config.min_inliers else config.images
        depth = min(depth, len(self._index))
        results = search(self._index, query_names, queries, depth, where)
        if config.min_inliers:
            results = rerank(results, counter, depth)
        return expand_queries(
            queries,
            results.ranks,
            results.similarities,
            self._descriptors,
            config.images,
            config.alpha,
            results.inliers,
            config.min_inliers,
        )


def rank_features(
    index: SearchableIndex,
    query_store: FeatureStore,
    names: Sequence[str] | None = None,
    num_results: int | None = None,
    config: RankingConfig | None = None,
    counter: InlierCounter | None = None,
    num_to_rerank: int = 100,
    where: Where = None,
) -> SearchResults:
    """Searches the index for the global descriptors in a folder.

    Args:
        index: the images to search.
        query_store: feature files of the queries.
        names: the queries; None for all that have a global descriptor.
        num_results: length of each list; None for the whole index.
        config: the methods; None for plain search.
        counter: see `Ranker.rank`.
        num_to_rerank: see `Ranker.rank`.
        where: see `Ranker.rank`.

    Returns:
        Lists of `num_results` images, not re-ranked geometrically.

    Raises:
        InputError: files are missing or damaged, or do not fit the index; or
            inliers are demanded without a counter.
    """
    config = config or RankingConfig()
    names, queries = query_descriptors(index, query_store, names, num_results)
    return Ranker(index, config).rank(
        names, queries, num_results, counter, num_to_rerank, where
    )


def _cosine_of(config: RankingConfig) -> str:
    """Returns whose cosine the similarities are, in words."""
    added = []
    if config.database_augmentation and config.database_augmentation.images:
        added.append("database augmentation")
    if config.query_expansion and config.query_expansion.images:
        added.append("query expansion")
    return " with ".join(["cosine", " and ".join(added)]) if added else "cosine"
