"""Ranked lists of the report from search results."""

from collections.abc import Sequence

import numpy as np

from delg_tf.report.retrieval_inputs import RankedList
from delg_tf.retrieval.results import SearchResults

# Images kept of a list that was not verified, for the page and the memory.
KEPT = 100


def list_before(results: SearchResults, row: int, length: int) -> RankedList:
    """Returns the beginning of a query's global ranking.

    Args:
        results: of a search without re-ranking.
        row: the query.
        length: how many images.
    """
    ranks = results.ranks[row, :length]
    return RankedList(
        [results.index_names[i] for i in ranks.tolist()],
        results.similarities[row, :length],
    )


def list_after(
    results: SearchResults,
    row: int,
    length: int,
    short_list: np.ndarray | Sequence[int],
) -> RankedList:
    """Returns the beginning of a query's re-ranked list.

    Args:
        results: re-ranked, with inliers.
        row: the query.
        length: how many images.
        short_list: ids of the images that were verified; the others of 0
            inliers were not.
    """
    ranks = results.ranks[row, :length]
    inliers = results.inliers[row, :length].astype(np.int64)
    inliers[(inliers == 0) & ~np.isin(ranks, short_list)] = -1
    return RankedList(
        [results.index_names[i] for i in ranks.tolist()],
        results.similarities[row, :length],
        inliers,
    )
