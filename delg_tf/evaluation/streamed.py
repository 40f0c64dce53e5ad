"""Easy, Medium and Hard over millions of images, in bounded memory.

The numbers are those of `evaluation.revisited`: the metrics need the places
of the labelled images only, which `retrieval.streaming` finds without holding
a ranking.
"""

from collections.abc import Sequence

import numpy as np

from delg_tf.data.revisited import PROTOCOLS, RevisitedGroundTruth
from delg_tf.evaluation.metrics.revisited import (
    PRECISION_RANKS,
    metrics_of_ranks,
    ranks_without_junk,
)
from delg_tf.evaluation.revisited import (
    AFTER_RERANKING,
    ProtocolMetrics,
    check_cutoffs,
    in_percent,
    labels_by_name,
)
from delg_tf.retrieval.inlier_counter import InlierCounter
from delg_tf.retrieval.streaming.base import DescriptorSource
from delg_tf.retrieval.streaming.memory import DEFAULT_MEMORY_MIB
from delg_tf.retrieval.streaming.rankings import StreamedRankings
from delg_tf.retrieval.streaming.reranking import rerank_streamed
from delg_tf.retrieval.streaming.search import stream_search


def evaluate_source(
    ground_truth: RevisitedGroundTruth,
    query_names: Sequence[str],
    queries: np.ndarray,
    source: DescriptorSource,
    cutoffs: Sequence[int] = PRECISION_RANKS,
    counter: InlierCounter | None = None,
    num_to_rerank: int = 100,
    drop_junk: bool = False,
    top: int = 100,
    memory_mib: float = DEFAULT_MEMORY_MIB,
) -> tuple[dict[str, ProtocolMetrics], StreamedRankings]:
    """Searches, re-ranks if asked to, and evaluates.

    Args:
        ground_truth: what is right.
        query_names: names of the queries, at least those of the ground truth.
        queries: float32 [Q, D], L2-normalised; zeros for a query without a
            descriptor.
        source: descriptors of the index images, at least those of the ground
            truth; what is not in it is wrong.
        cutoffs: the k of precision and recall.
        counter: counts inliers; None for the global search alone.
        num_to_rerank: length of the short list.
        drop_junk: see `pipeline.evaluate_features`.
        top: least length of the lists that are returned.
        memory_mib: see `stream_search`.

    Returns:
        Metrics in percent, see `revisited.evaluate_before_and_after`; and the
        rankings, re-ranked with a counter unless `drop_junk` makes several.

    Raises:
        InputError: features are missing or damaged, names of the ground truth
            are missing, or a cutoff is larger than the index.
    """
    check_cutoffs(cutoffs, len(source))
    labelled = labelled_images(query_names, source.names, ground_truth)
    if counter is not None:
        # Junk that is dropped makes room for as many others.
        junk = max(map(len, labelled), default=0) if drop_junk else 0
        top = max(top, num_to_rerank + junk)
    rankings = stream_search(
        source, query_names, queries, labelled, top, memory_mib
    )
    metrics = evaluate_streamed(rankings, ground_truth, cutoffs)
    if counter is None:
        return metrics, rankings
    reranked = rankings
    for protocol in PROTOCOLS:
        junk = None
        if drop_junk:
            junk = _junk(rankings, ground_truth, protocol)
        if drop_junk or reranked is rankings:
            reranked = rerank_streamed(rankings, counter, num_to_rerank, junk)
        after = evaluate_streamed(reranked, ground_truth, cutoffs, [protocol])
        metrics[protocol + AFTER_RERANKING] = after[protocol]
    return metrics, rankings if drop_junk else reranked


def labelled_images(
    query_names: Sequence[str],
    index_names: Sequence[str],
    ground_truth: RevisitedGroundTruth,
) -> list[np.ndarray]:
    """Returns the images whose places all three protocols need.

    Returns:
        For each query int64, ids in `index_names` of its easy, hard and junk
        images; none for a query that the ground truth does not know.

    Raises:
        InputError: queries or index images of the ground truth are missing.
    """
    # Medium knows them all: right ones are easy or hard, the rest is junk.
    known = labels_by_name(query_names, index_names, ground_truth, "medium")
    nothing = np.zeros(0, np.int64)
    return [
        np.concatenate([known[row].positives, known[row].junk])
        if row in known
        else nothing
        for row in range(len(query_names))
    ]


def evaluate_streamed(
    rankings: StreamedRankings,
    ground_truth: RevisitedGroundTruth,
    cutoffs: Sequence[int] = PRECISION_RANKS,
    protocols: Sequence[str] = PROTOCOLS,
) -> dict[str, ProtocolMetrics]:
    """Evaluates rankings of which the places of labelled images are known.

    Args:
        rankings: with places of `labelled_images`.
        ground_truth: what is right; all its queries are evaluated.
        cutoffs: the k of precision and recall.
        protocols: any of `PROTOCOLS`.

    Returns:
        What `revisited.evaluate` returns for the whole rankings.

    Raises:
        InputError: names of the ground truth are missing, or a cutoff is
            larger than the index.
    """
    results = rankings.results
    check_cutoffs(cutoffs, len(results.index_names))
    metrics = {}
    for protocol in protocols:
        labels = labels_by_name(
            results.query_names, results.index_names, ground_truth, protocol
        )
        ranks = [
            ranks_without_junk(
                rankings.places_of(row, known.positives),
                rankings.places_of(row, known.junk),
            )
            for row, known in labels.items()
        ]
        metrics[protocol] = in_percent(metrics_of_ranks(ranks, cutoffs))
    return metrics


def _junk(
    rankings: StreamedRankings,
    ground_truth: RevisitedGroundTruth,
    protocol: str,
) -> list[np.ndarray]:
    results = rankings.results
    labels = labels_by_name(
        results.query_names, results.index_names, ground_truth, protocol
    )
    nothing = np.zeros(0, np.int64)
    return [
        labels[row].junk if row in labels else nothing
        for row in range(len(results.query_names))
    ]
