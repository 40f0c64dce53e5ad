"""Places after the geometric re-ranking of the top of each ranking."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from delg_tf.retrieval.inlier_counter import InlierCounter
from delg_tf.retrieval.rerank import rerank
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.streaming.rankings import StreamedRankings


def rerank_streamed(
    rankings: StreamedRankings,
    counter: InlierCounter,
    num_to_rerank: int = 100,
    excluded: Sequence[np.ndarray] | None = None,
) -> StreamedRankings:
    """Re-ranks the lists; labelled images move with them.

    What is not verified has no inliers and keeps its order, so that no image
    beyond the short list moves: the result is that of `rerank.rerank` over
    whole rankings.

    Args:
        rankings: of a global search.
        counter: counts the inliers of a pair.
        num_to_rerank: length of the short list.
        excluded: see `rerank.rerank`. Lists must then be longer by as many as
            are excluded.

    Raises:
        InputError: files of local features are missing.
        ValueError: as `rerank.rerank`; or lists are too short for the short
            list.
    """
    before = rankings.results
    for row, ids in enumerate(before.ranks):
        out = np.zeros(0) if excluded is None else np.unique(excluded[row])
        reached = len(ids) - np.isin(ids, out).sum()
        if reached < min(num_to_rerank, len(before.index_names) - len(out)):
            raise ValueError(
                f"`rankings` must list at least {num_to_rerank + len(out)} "
                f"images to re-rank {num_to_rerank} of them. Received: "
                f"{len(ids)} for query {before.query_names[row]}"
            )
    after = rerank(before, counter, num_to_rerank, excluded)
    return dataclasses.replace(
        rankings, results=after, places=_moved(rankings, after)
    )


def _moved(
    rankings: StreamedRankings, after: SearchResults
) -> tuple[np.ndarray, ...]:
    """Returns places of the labelled images once lists are in a new order."""
    moved = []
    for ids, places, ranks in zip(
        rankings.labelled, rankings.places, after.ranks, strict=True
    ):
        listed = places < len(ranks)
        places = places.copy()
        order = np.argsort(ranks)
        places[listed] = order[np.searchsorted(ranks[order], ids[listed])]
        moved.append(places)
    return tuple(moved)
