"""Easy, Medium and Hard of Revisited Oxford and Paris, for search results."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.data.revisited import (
    PROTOCOLS,
    ProtocolLabels,
    RevisitedGroundTruth,
    protocol_labels,
)
from delg_tf.evaluation.metrics.revisited import (
    PRECISION_RANKS,
    RetrievalMetrics,
    compute_metrics,
)
from delg_tf.retrieval.results import SearchResults

# In keys of metrics: after geometric verification.
AFTER_RERANKING = "_after_gv"

ProtocolMetrics = TypedDict(
    "ProtocolMetrics",
    {
        # All in percent; NaN where no query has a positive.
        "mAP": float,
        "mP@k": dict[int, float],
        "mR@k": dict[int, float],
        # NaN for a query without positives.
        "per_query_ap": list[float],
        "per_query_p@k": dict[int, list[float]],
        "per_query_r@k": dict[int, list[float]],
    },
)


def evaluate(
    results: SearchResults,
    ground_truth: RevisitedGroundTruth,
    cutoffs: Sequence[int] = PRECISION_RANKS,
    protocols: Sequence[str] = PROTOCOLS,
) -> dict[str, ProtocolMetrics]:
    """Evaluates whole rankings.

    Images are found by name, so the order of queries and index images may
    differ, and the index may hold more images than the ground truth (the
    million distractors): those are wrong answers.

    Args:
        results: rankings of all index images.
        ground_truth: what is right; all its queries are evaluated.
        cutoffs: the k of precision and recall.
        protocols: any of `PROTOCOLS`.

    Returns:
        For each protocol its metrics in percent; values of each query are in
        the order of the ground truth's queries.

    Raises:
        InputError: results lack queries or index images, are short lists, or
            a cutoff is larger than the index.
    """
    if not results.is_complete:
        raise InputError(
            f"The search results list {results.ranks.shape[1]} of "
            f"{len(results.index_names)} index images; the metrics need whole "
            "rankings."
        )
    check_cutoffs(cutoffs, len(results.index_names))
    rows = _rows(results.query_names, ground_truth)
    metrics = {}
    for protocol in protocols:
        labels = labels_in_results(results, ground_truth, protocol)
        computed = compute_metrics(
            results.ranks[rows],
            [labels[row].positives for row in rows],
            [labels[row].junk for row in rows],
            cutoffs,
        )
        metrics[protocol] = in_percent(computed)
    return metrics


def evaluate_before_and_after(
    results: SearchResults,
    ground_truth: RevisitedGroundTruth,
    cutoffs: Sequence[int] = PRECISION_RANKS,
    protocols: Sequence[str] = PROTOCOLS,
) -> dict[str, ProtocolMetrics]:
    """Evaluates the global ranking and, where there is one, the re-ranking.

    Returns:
        As `evaluate`; keys of re-ranked results end with `_after_gv`, as in
        the official metrics file.
    """
    before = results.without_reranking()
    metrics = evaluate(before, ground_truth, cutoffs, protocols)
    if results.inliers is not None:
        after = evaluate(results, ground_truth, cutoffs, protocols)
        for protocol, values in after.items():
            metrics[protocol + AFTER_RERANKING] = values
    return metrics


def in_percent(computed: RetrievalMetrics) -> ProtocolMetrics:
    """Returns metrics of a protocol as files and reports have them."""
    cutoffs = computed.cutoffs
    return ProtocolMetrics(
        {
            "mAP": 100 * computed.mean_average_precision,
            "mP@k": _percent(cutoffs, computed.mean_precision),
            "mR@k": _percent(cutoffs, computed.mean_recall),
            "per_query_ap": (100 * computed.average_precision).tolist(),
            "per_query_p@k": _columns(cutoffs, computed.precision),
            "per_query_r@k": _columns(cutoffs, computed.recall),
        }
    )


def check_cutoffs(cutoffs: Sequence[int], size: int) -> None:
    """Raises InputError if a cutoff is larger than the index."""
    if max(cutoffs, default=0) > size:
        raise InputError(
            f"Precision at {max(cutoffs)} is asked for, but the index has "
            f"only {size} images. Ask for smaller ranks."
        )


def labels_in_results(
    results: SearchResults, ground_truth: RevisitedGroundTruth, protocol: str
) -> dict[int, ProtocolLabels]:
    """Returns the labels with the ids that the search results use.

    Args:
        results: names of queries and index images.
        ground_truth: labels with its own ids.
        protocol: one of `PROTOCOLS`.

    Returns:
        For each row of the results that the ground truth knows, its labels.

    Raises:
        InputError: queries or index images are missing from the results.
    """
    return labels_by_name(
        results.query_names, results.index_names, ground_truth, protocol
    )


def labels_by_name(
    query_names: Sequence[str],
    index_names: Sequence[str],
    ground_truth: RevisitedGroundTruth,
    protocol: str,
) -> dict[int, ProtocolLabels]:
    """Returns the labels with positions in these names as ids.

    Returns:
        As `labels_in_results`, in the order of the ground truth's queries.

    Raises:
        InputError: queries or index images of the ground truth are missing.
    """
    place = {name: i for i, name in enumerate(index_names)}
    _require_names(ground_truth.index_names, place, "index images")
    new_id = np.array([place[name] for name in ground_truth.index_names])
    rows = _rows(query_names, ground_truth)
    labels = {}
    for row, query in zip(rows, ground_truth.queries):
        old = protocol_labels(query, protocol)
        labels[row] = ProtocolLabels(new_id[old.positives], new_id[old.junk])
    return labels


def _rows(
    query_names: Sequence[str], ground_truth: RevisitedGroundTruth
) -> list[int]:
    """Returns the row of each query of the ground truth in the results."""
    place = {name: i for i, name in enumerate(query_names)}
    _require_names(ground_truth.query_names, place, "queries")
    return [place[name] for name in ground_truth.query_names]


def _require_names(
    names: Sequence[str], known: Mapping[str, int], what: str
) -> None:
    missing = [name for name in names if name not in known]
    if missing:
        raise InputError(
            f"{len(missing)} {what} of the ground truth are missing from the "
            f"search results, the first is {missing[0]}."
        )


def _percent(cutoffs: Sequence[int], values: np.ndarray) -> dict[int, float]:
    return {int(k): 100 * float(v) for k, v in zip(cutoffs, values)}


def _columns(
    cutoffs: Sequence[int], values: np.ndarray
) -> dict[int, list[float]]:
    return {int(k): (100 * v).tolist() for k, v in zip(cutoffs, values.T)}
