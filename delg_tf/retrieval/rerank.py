"""Re-ranking of the top of each list by geometric verification."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.matching.config import MatchingConfig
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.inlier_counter import InlierCounter
from delg_tf.retrieval.results import SearchResults


@dataclasses.dataclass(frozen=True)
class RerankConfig:
    """Settings of re-ranking; the defaults are the paper's.

    Attributes:
        matching: how a pair of images is verified.
        num_to_rerank: length of the short list of each query.
        num_threads: pairs verified at the same time; None: one a processor.
        num_processes: processes in place of threads, see `InlierCounter`.
    """

    matching: MatchingConfig = dataclasses.field(default_factory=MatchingConfig)
    num_to_rerank: int = 100
    num_threads: int | None = None
    num_processes: int | None = None

    def __post_init__(self):
        for name in ("num_to_rerank", "num_threads", "num_processes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, but is {value}.")

    def counter(
        self, query_store: FeatureStore, index_store: FeatureStore
    ) -> InlierCounter:
        """Returns a new counter of inliers between two places of features."""
        return InlierCounter(
            query_store,
            index_store,
            self.matching,
            self.num_threads,
            self.num_processes,
        )


def rerank_features(
    results: SearchResults,
    query_store: FeatureStore,
    index_store: FeatureStore,
    config: RerankConfig,
) -> SearchResults:
    """Re-ranks a global search by the local features in two folders.

    Args:
        results: lists of a global search.
        query_store: local features of the queries.
        index_store: local features of the index images.
        config: settings.

    Returns:
        See `rerank`. Damaged feature files count 0 inliers and are logged.

    Raises:
        InputError: feature files are missing.
    """
    counter = config.counter(query_store, index_store)
    return rerank(results, counter, config.num_to_rerank)


def rerank(
    results: SearchResults,
    counter: InlierCounter,
    num_to_rerank: int = 100,
    excluded: Sequence[np.ndarray] | None = None,
) -> SearchResults:
    """Sorts images by (number of inliers, similarity), both descending.

    Inliers are counted for the first `num_to_rerank` images of each list; all
    others have 0. Every image with an inlier thus precedes every image with
    none, and whatever was not verified keeps the global order (section 3.3 of
    the DELG paper; image_reranking.py of the official package).

    Args:
        results: lists of a global search; an earlier re-ranking of them is
            undone first.
        counter: counts the inliers of a pair.
        num_to_rerank: length of the short list.
        excluded: for each query the ids of index images that may not take a
            place in the short list; the next ones move up instead, and the
            excluded count 0 inliers. The official script excludes a
            protocol's junk so. It is how its numbers are reproduced, but it
            lets the ground truth touch the ranking: honest retrieval, the
            default, excludes nothing.

    Returns:
        The same lists in their new order, with `inliers`.

    Raises:
        InputError: files of local features are missing.
        ValueError: `num_to_rerank` is negative, or `excluded` has another
            length than the results.
    """
    if num_to_rerank < 0:
        raise ValueError(
            f"`num_to_rerank` must be at least 0. Received: {num_to_rerank}"
        )
    if excluded is not None and len(excluded) != len(results.query_names):
        raise ValueError(
            f"`excluded` must have one array a query, "
            f"{len(results.query_names)}. Received: {len(excluded)}"
        )
    results = results.without_reranking()
    places = _short_lists(results.ranks, num_to_rerank, excluded)
    # Row and place in it of every pair to verify.
    rows = np.repeat(np.arange(len(places)), [len(row) for row in places])
    columns = np.concatenate(places)
    pairs = [
        (results.query_names[row], results.index_names[image])
        for row, image in zip(rows, results.ranks[rows, columns])
    ]
    inliers = np.zeros(results.ranks.shape, np.int32)
    inliers[rows, columns] = counter.count(pairs)
    # The lists are in order of similarity; a stable sort keeps that order
    # among equal numbers of inliers.
    order = np.argsort(-inliers, axis=1, kind="stable")
    return dataclasses.replace(results, inliers=inliers).ordered(order)


def _short_lists(
    ranks: np.ndarray, length: int, excluded: Sequence[np.ndarray] | None
) -> list[np.ndarray]:
    """Returns for each query the places in its list that are verified."""
    if excluded is None:
        first = np.arange(min(length, ranks.shape[1]))
        return [first] * len(ranks)
    return [
        np.flatnonzero(~np.isin(row, out))[:length]
        for row, out in zip(ranks, excluded)
    ]
