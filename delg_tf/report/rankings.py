"""What happened to each query: both rankings, labels, inliers, AP."""

import dataclasses

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.data.revisited import RevisitedGroundTruth
from delg_tf.evaluation.revisited import evaluate, labels_in_results
from delg_tf.retrieval.results import SearchResults

WRONG, RIGHT, JUNK = range(3)
MARKS = ("wrong", "right", "junk")


@dataclasses.dataclass(frozen=True, eq=False)
class QueryRanking:
    """Both rankings of N index images for one query.

    Attributes:
        name: of the query image.
        box: (x1, y1, x2, y2) in pixels of the query image, or None.
        before: int [N], ids of index images by similarity, best first.
        after: int [N], ids after re-ranking.
        similarities: float32 [N], cosine of the global descriptors, by id.
        inliers: int32 [N], number of inliers, by id.
        verified: bool [N], whether inliers were counted, by id.
        marks: int8 [N], WRONG, RIGHT or JUNK under the protocol, by id.
        ap_before: average precision in percent; NaN without right images.
        ap_after: the same after re-ranking.
    """

    name: str
    box: tuple[float, float, float, float] | None
    before: np.ndarray
    after: np.ndarray
    similarities: np.ndarray
    inliers: np.ndarray
    verified: np.ndarray
    marks: np.ndarray
    ap_before: float
    ap_after: float

    def best(self, mark: int) -> int | None:
        """Returns the first image with a mark after re-ranking, if any."""
        found = self.after[self.marks[self.after] == mark]
        return int(found[0]) if len(found) else None


def read_rankings(
    ground_truth: RevisitedGroundTruth,
    global_results: SearchResults,
    reranked_results: SearchResults,
    protocol: str,
    num_to_rerank: int,
) -> list[QueryRanking]:
    """Joins search results and labels, query by query.

    Args:
        ground_truth: the labels.
        global_results: whole rankings by similarity.
        reranked_results: the same after re-ranking, with inliers.
        protocol: what counts as right: "easy", "medium" or "hard".
        num_to_rerank: length of the short list that was verified.

    Returns:
        One ranking for each query, in the order of the ground truth.

    Raises:
        InputError: the results do not belong together, are short lists, or
            lack what the ground truth names.
    """
    _check_pair(global_results, reranked_results)
    ap_before, ap_after = (
        evaluate(results, ground_truth, (1,), (protocol,))[protocol][
            "per_query_ap"
        ]
        for results in (global_results, reranked_results)
    )
    labels = labels_in_results(global_results, ground_truth, protocol)
    row_of = {name: i for i, name in enumerate(global_results.query_names)}
    rankings = []
    for place, name in enumerate(ground_truth.query_names):
        row = row_of[name]
        before, after = global_results.ranks[row], reranked_results.ranks[row]
        marks = np.full(len(before), WRONG, np.int8)
        marks[labels[row].positives] = RIGHT
        marks[labels[row].junk] = JUNK
        inliers = _by_id(after, reranked_results.inliers[row])
        verified = inliers > 0
        verified[before[:num_to_rerank]] = True
        rankings.append(
            QueryRanking(
                name=name,
                box=ground_truth.queries[place].bbx,
                before=before,
                after=after,
                similarities=_by_id(before, global_results.similarities[row]),
                inliers=inliers,
                verified=verified,
                marks=marks,
                ap_before=ap_before[place],
                ap_after=ap_after[place],
            )
        )
    return rankings


def _by_id(ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sorts the values of a whole ranking by image id."""
    sorted_values = np.empty_like(values)
    sorted_values[ids] = values
    return sorted_values


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
