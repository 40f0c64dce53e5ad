"""From feature files and ground truth to metrics."""

import os
from collections.abc import Sequence

import numpy as np

from delg_tf.common.files import PathLike
from delg_tf.data.revisited import (
    PROTOCOLS,
    RevisitedGroundTruth,
    load_ground_truth,
)
from delg_tf.evaluation import tuning
from delg_tf.evaluation.revisited import (
    AFTER_RERANKING,
    ProtocolMetrics,
    evaluate,
    evaluate_before_and_after,
    labels_in_results,
)
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.ranking.config import RankingConfig
from delg_tf.retrieval.ranking.pipeline import rank_features
from delg_tf.retrieval.rerank import RerankConfig, rerank
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.search import index_features, search_features


def evaluate_features(
    ground_truth: RevisitedGroundTruth,
    query_store: FeatureStore,
    index_store: FeatureStore,
    cutoffs: tuple[int, ...],
    reranking: RerankConfig | None = None,
    drop_junk: bool = False,
    ranking: RankingConfig | None = None,
    local_stores: tuple[FeatureStore, FeatureStore] | None = None,
) -> dict[str, ProtocolMetrics]:
    """Searches, re-ranks if asked to, and evaluates.

    Args:
        ground_truth: names of queries and index images, and labels.
        query_store: features of the queries.
        index_store: features of the index images.
        cutoffs: the k of precision and recall.
        reranking: settings of re-ranking; None for global search alone.
        drop_junk: whether each protocol is re-ranked on its own, its junk
            kept out of the short list. The official script does so; use it
            to reproduce its numbers. The ground truth then touches the
            ranking.
        ranking: methods around the global search, which all come before
            re-ranking; None for plain search.
        local_stores: local features of queries and index images, if they are
            not in the other two.

    Returns:
        Metrics by protocol, in percent; see `evaluate_before_and_after`.

    Raises:
        InputError: feature files are missing or damaged.
    """
    index = index_features(index_store, ground_truth.index_names)
    counter = None
    if reranking is not None:
        counter = reranking.counter(
            *(local_stores or (query_store, index_store))
        )
    results = rank_features(
        index,
        query_store,
        ground_truth.query_names,
        config=ranking,
        counter=counter,
        num_to_rerank=reranking.num_to_rerank if reranking else 0,
    )
    # Bad cutoffs are to be known before the long work.
    metrics = evaluate(results, ground_truth, cutoffs)
    if reranking is None:
        return metrics
    if not drop_junk:
        results = rerank(results, counter, reranking.num_to_rerank)
        return evaluate_before_and_after(results, ground_truth, cutoffs)
    for protocol in PROTOCOLS:
        # Pairs that an earlier protocol verified are not verified again.
        reranked = rerank(
            results,
            counter,
            reranking.num_to_rerank,
            _junk(results, ground_truth, protocol),
        )
        after = evaluate(reranked, ground_truth, cutoffs, [protocol])
        metrics[protocol + AFTER_RERANKING] = after[protocol]
    return metrics


def tune_features(
    dataset_file_path: PathLike,
    global_paths: tuple[PathLike, PathLike],
    local_paths: tuple[PathLike, PathLike] | None,
    grid: tuning.TuningGrid,
    reranking: RerankConfig,
    protocols: Sequence[str] = ("medium", "hard"),
    search: str = "stages",
    record: PathLike | None = None,
) -> list[tuning.Trial]:
    """Searches once, and tries settings of matching on its short lists.

    Args:
        dataset_file_path: ground truth of the validation landmarks.
        global_paths: features of queries and of index images.
        local_paths: their local features; None: in the same places.
        grid: the settings to choose from.
        reranking: all other settings.
        protocols: see `tuning.tune`.
        search: likewise.
        record: likewise.

    Returns:
        Trials, the best first.

    Raises:
        InputError: features or ground truth are missing or damaged, or the
            record is of others.
    """
    ground_truth = load_ground_truth(dataset_file_path)
    local_paths = local_paths or global_paths
    query_store, index_store = map(FeatureStore, global_paths)
    index = index_features(index_store, ground_truth.index_names)
    results = search_features(index, query_store, ground_truth.query_names)
    scorer = tuning.ReRankingScorer(
        ground_truth,
        results,
        tuple(map(FeatureStore, local_paths)),
        reranking.num_to_rerank,
        reranking.num_threads,
    )
    inputs = {
        "dataset": os.path.abspath(dataset_file_path),
        "global": [os.path.abspath(path) for path in global_paths],
        "local": [os.path.abspath(path) for path in local_paths],
        "num_to_rerank": reranking.num_to_rerank,
    }
    return tuning.tune(
        scorer, grid, reranking.matching, protocols, search, record, inputs
    )


def _junk(
    results: SearchResults, ground_truth: RevisitedGroundTruth, protocol: str
) -> list[np.ndarray]:
    labels = labels_in_results(results, ground_truth, protocol)
    return [labels[row].junk for row in range(len(results.query_names))]
