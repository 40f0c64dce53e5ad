"""Rankings and labels of Google Landmarks v2, retrieval, joined."""

from collections.abc import Collection, Mapping

import numpy as np

from delg_tf.evaluation.metrics.landmark_retrieval import (
    MAX_PREDICTIONS,
    LandmarkRetrievalMetrics,
    evaluate_landmark_retrieval,
)
from delg_tf.evaluation.metrics.truncated import first_hits
from delg_tf.report.ranked_lists import KEPT, list_after, list_before
from delg_tf.report.retrieval_inputs import (
    EvaluatedQuery,
    Outcome,
    QueryOutcome,
    RankedList,
)
from delg_tf.retrieval.results import SearchResults

Lists = Mapping[str, RankedList]


def landmark_queries(
    solution: Mapping[str, Mapping[str, Collection[str]]],
    before: Lists,
    after: Lists | None = None,
) -> list[EvaluatedQuery]:
    """Joins lists and labels; AP is AP@100 of `metrics.landmark_retrieval`.

    There is no junk. Lists may be short or missing.

    Args:
        solution: by part ("public", "private") the right index images of each
            of its queries. A query has no AP in the other parts.
        before: for each query its list by global descriptor.
        after: the same after re-ranking; None without.

    Returns:
        One entry for each query, in the order of the solution.
    """
    scores = {
        part: (_score(before, truth), after and _score(after, truth))
        for part, truth in solution.items()
    }
    names = dict.fromkeys(name for part in solution.values() for name in part)
    nothing = RankedList(())
    return [
        EvaluatedQuery(
            name,
            {
                part: QueryOutcome(
                    frozenset(solution[part].get(name, ())),
                    frozenset(),
                    _outcome(name, before, solution[part], scores[part][0]),
                    after
                    and _outcome(name, after, solution[part], scores[part][1]),
                )
                for part in solution
            },
            before.get(name, nothing),
            after and after.get(name, nothing),
        )
        for name in names
    ]


def lists_of_results(
    before: SearchResults,
    after: SearchResults | None = None,
    num_to_rerank: int = 0,
) -> tuple[dict[str, RankedList], dict[str, RankedList] | None]:
    """Returns the lists that `landmark_queries` wants, of search results.

    Args:
        before: by global descriptor, at least the first 100 images.
        after: the same after re-ranking, with inliers; None without.
        num_to_rerank: length of the short list that was verified.
    """
    length = max(num_to_rerank, KEPT)
    first = {
        name: list_before(before, row, length)
        for row, name in enumerate(before.query_names)
    }
    if after is None:
        return first, None
    return first, {
        name: list_after(after, row, length, before.ranks[row, :num_to_rerank])
        for row, name in enumerate(after.query_names)
    }


def _score(
    lists: Lists, truth: Mapping[str, Collection[str]]
) -> dict[str, float]:
    """Returns AP@100 in percent by query."""
    predictions = {
        name: list(one.names) for name, one in lists.items() if name in truth
    }
    computed: LandmarkRetrievalMetrics = evaluate_landmark_retrieval(
        predictions, truth
    )
    return dict(zip(computed.query_ids, 100 * computed.average_precision))


def _outcome(
    name: str,
    lists: Lists,
    truth: Mapping[str, Collection[str]],
    scores: Mapping[str, float],
) -> Outcome:
    if name not in truth or name not in lists:
        ranks = np.zeros(0, np.int64)
    else:
        hits = first_hits(lists[name].names, truth[name], MAX_PREDICTIONS)
        ranks = np.flatnonzero(hits)
    return Outcome(float(scores.get(name, np.nan)), ranks)
