"""Metrics of rankings by the protocol of their data set."""

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.data.revisited import PROTOCOLS
from delg_tf.evaluation.metrics.landmark_retrieval import (
    MAX_PREDICTIONS,
    LandmarkRetrievalMetrics,
    evaluate_landmark_retrieval,
)
from delg_tf.evaluation.revisited import ProtocolMetrics, labels_by_name
from delg_tf.evaluation.streamed import evaluate_streamed
from delg_tf.protocols.data_set import LANDMARKS, OXFORD, RetrievalDataSet
from delg_tf.retrieval.streaming.rankings import StreamedRankings

# Old labels are read as easy ones, so that Easy is the old protocol (see
# `evaluation.metrics.oxford`).
OXFORD_LABELS = "easy"


def protocols_of(data: RetrievalDataSet) -> tuple[str, ...]:
    """Returns the keys of the metrics: protocols, or parts of the queries."""
    if data.solution is not None:
        return tuple(data.solution)
    return (OXFORD,) if data.protocol == OXFORD else PROTOCOLS


def labels_key(protocol: str) -> str:
    """Returns the protocol of Revisited whose labels a protocol has."""
    return protocol if protocol in PROTOCOLS else OXFORD_LABELS


def junk_of(data: RetrievalDataSet, protocol: str) -> list[np.ndarray]:
    """Returns for each query the ids of the images that do not count."""
    truth = data.ground_truth
    labels = labels_by_name(
        truth.query_names, truth.index_names, truth, labels_key(protocol)
    )
    return [labels[row].junk for row in range(len(truth.query_names))]


def measure(
    data: RetrievalDataSet,
    rankings: StreamedRankings,
    cutoffs: tuple[int, ...],
    protocol: str,
) -> ProtocolMetrics:
    """Measures rankings under one protocol.

    Args:
        data: what is right.
        rankings: of its queries.
        cutoffs: the k of precision and recall.
        protocol: of `protocols_of`.

    Returns:
        Metrics in percent; values of each query in the order of the ground
        truth's queries.

    Raises:
        InputError: a cutoff is out of range.
    """
    if data.protocol == LANDMARKS:
        return _landmarks(data, rankings, cutoffs, protocol)
    key = labels_key(protocol)
    return evaluate_streamed(rankings, data.ground_truth, cutoffs, (key,))[key]


def _landmarks(
    data: RetrievalDataSet,
    rankings: StreamedRankings,
    cutoffs: tuple[int, ...],
    part: str,
) -> ProtocolMetrics:
    if max(cutoffs) > MAX_PREDICTIONS:
        raise InputError(
            f"Of gldv2 only {MAX_PREDICTIONS} images a query count, but "
            f"--precision_ranks asks for {max(cutoffs)}."
        )
    results, solution = rankings.results, data.solution[part]
    predictions = {
        query: [results.index_names[i] for i in ranks[:MAX_PREDICTIONS]]
        for query, ranks in zip(results.query_names, results.ranks)
        if query in solution
    }
    computed = evaluate_landmark_retrieval(predictions, solution)
    return _in_percent(data, computed, cutoffs)


def _in_percent(
    data: RetrievalDataSet,
    computed: LandmarkRetrievalMetrics,
    cutoffs: tuple[int, ...],
) -> ProtocolMetrics:
    """Brings the order of queries to that of the ground truth."""
    row_of = {name: row for row, name in enumerate(computed.query_ids)}
    rows = [row_of.get(name) for name in data.ground_truth.query_names]

    def by_query(values: np.ndarray) -> list[float]:
        return [np.nan if row is None else float(values[row]) for row in rows]

    precision = 100 * computed.precision_at
    return ProtocolMetrics(
        {
            # mAP@100.
            "mAP": 100 * computed.mean_average_precision,
            "mP@k": {k: float(precision[k - 1]) for k in cutoffs},
            "mR@k": {},
            "per_query_ap": by_query(100 * computed.average_precision),
            "per_query_p@k": {
                k: by_query(100 * computed.precision[:, k - 1]) for k in cutoffs
            },
            "mean_first_correct": computed.mean_first_correct,
            "median_first_correct": computed.median_first_correct,
        }
    )
