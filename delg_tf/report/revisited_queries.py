"""Rankings and labels of Revisited Oxford and Paris and their kind, joined."""

from collections.abc import Mapping, Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.data.revisited import (
    PROTOCOLS,
    ProtocolLabels,
    RevisitedGroundTruth,
)
from delg_tf.evaluation.metrics.revisited import (
    average_precision,
    ranks_without_junk,
)
from delg_tf.evaluation.revisited import labels_in_results
from delg_tf.report.ranked_lists import KEPT, list_after, list_before
from delg_tf.report.retrieval_inputs import (
    EvaluatedQuery,
    Outcome,
    QueryOutcome,
)
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.streaming.rankings import StreamedRankings

# Whole rankings, or what is known of them where they are too long to hold.
Rankings = SearchResults | StreamedRankings


def revisited_queries(
    ground_truth: RevisitedGroundTruth,
    before: Rankings,
    after: Rankings | Mapping[str, Rankings] | None = None,
    num_to_rerank: int = 0,
    protocols: Sequence[str] | Mapping[str, str] = PROTOCOLS,
    protocol: str = "medium",
) -> list[EvaluatedQuery]:
    """Joins rankings and labels.

    Args:
        ground_truth: the labels.
        before: whole rankings by similarity, or streamed ones with the places
            of all labelled images.
        after: the same after re-ranking, with inliers; by protocol where each
            has a ranking of its own (junk kept out of the short list); None
            without re-ranking.
        num_to_rerank: length of the short list that was verified.
        protocols: what is evaluated. A mapping gives for each name on the
            page the protocol whose labels it has: `{"oxford": "easy"}` for
            the old Oxford5k and Paris6k, whose good and ok images are read
            as easy.
        protocol: whose ranking is shown, where each has its own.

    Returns:
        One entry for each query, in the order of the ground truth. Lists are
        cut after what was verified.

    Raises:
        InputError: the results do not belong together, are short lists, or
            lack what the ground truth names.
    """
    if not isinstance(protocols, Mapping):
        protocols = {name: name for name in protocols}
    afters = after
    if after is not None and not isinstance(after, Mapping):
        afters = dict.fromkeys(protocols, after)
    places = _Places(before)
    others = {name: _Places(one) for name, one in (afters or {}).items()}
    for other in others.values():
        _check_pair(places.results, other.results)
    labels = {
        name: labels_in_results(places.results, ground_truth, kind)
        for name, kind in protocols.items()
    }
    row_of = {name: i for i, name in enumerate(places.results.query_names)}
    length = max(num_to_rerank, KEPT)
    joined = []
    for query, name in zip(ground_truth.queries, ground_truth.query_names):
        row = row_of[name]
        outcomes = {
            key: _outcome(row, labels[key][row], places, others.get(key))
            for key in protocols
        }
        shown = None
        if others:
            short_list = places.results.ranks[row, :num_to_rerank]
            results = others.get(protocol, next(iter(others.values()))).results
            shown = list_after(results, row, length, short_list)
        joined.append(
            EvaluatedQuery(
                name,
                outcomes,
                list_before(places.results, row, length),
                shown,
                query.bbx,
            )
        )
    return joined


class _Places:
    """Places of labelled images in whole rankings."""

    def __init__(self, rankings: Rankings):
        self._streamed = None
        self.results = rankings
        if isinstance(rankings, StreamedRankings):
            self._streamed = rankings
            self.results = rankings.results
        elif not rankings.is_complete:
            raise InputError(
                f"The search results list {rankings.ranks.shape[1]} of "
                f"{len(rankings.index_names)} index images; the metrics need "
                "whole rankings."
            )

    def __call__(self, row: int, ids: np.ndarray) -> np.ndarray:
        """Returns int64 [M], places from 0 of the images `ids` [M]."""
        if self._streamed is not None:
            return self._streamed.places_of(row, ids)
        return np.flatnonzero(np.isin(self.results.ranks[row], ids))


def _outcome(
    row: int, labels: ProtocolLabels, before: _Places, after: _Places | None
) -> QueryOutcome:
    names = before.results.index_names

    def measured(places: _Places) -> Outcome:
        ranks = ranks_without_junk(
            places(row, labels.positives), places(row, labels.junk)
        )
        return Outcome(100 * average_precision(ranks), ranks)

    return QueryOutcome(
        right=frozenset(names[i] for i in labels.positives),
        junk=frozenset(names[i] for i in labels.junk),
        before=measured(before),
        after=None if after is None else measured(after),
    )


def _check_pair(before: SearchResults, after: SearchResults) -> None:
    if after.inliers is None:
        raise InputError(
            "The re-ranked search results hold no inliers. Search again with "
            "--rerank."
        )
    for field in ("query_names", "index_names"):
        if tuple(getattr(before, field)) != tuple(getattr(after, field)):
            raise InputError(
                "The search results before and after re-ranking differ in "
                f"their {field}; they must come from one search."
            )
