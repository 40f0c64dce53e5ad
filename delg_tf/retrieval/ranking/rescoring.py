"""Lists in the order of another score than the cosine."""

import dataclasses
from collections.abc import Callable

import numpy as np

from delg_tf.common.progress import Progress
from delg_tf.retrieval.descriptors import LEAST_SIMILARITY
from delg_tf.retrieval.ranking.config import Diffusion, KReciprocal
from delg_tf.retrieval.ranking.descriptors import Descriptors
from delg_tf.retrieval.ranking.diffusion import diffusion_scores
from delg_tf.retrieval.ranking.k_reciprocal import k_reciprocal_distances
from delg_tf.retrieval.results import SearchResults

# Numbers of descriptors read at a time for several queries: 256 MB.
_NUMBERS_A_BLOCK = 1 << 26
# Taken from the cosine of images that got no score: they follow the others,
# whose scores are -2 or more.
_BEHIND = 4.0


def diffuse(
    results: SearchResults,
    queries: np.ndarray,
    descriptors: Descriptors,
    config: Diffusion,
) -> SearchResults:
    """Orders the top of each list by diffusion.

    Images that diffusion does not reach follow in the order of their cosines,
    and so do those below `config.depth`; images without a descriptor are last.

    Args:
        results: lists of a search, not re-ranked.
        queries: float32 [Q, D], L2-normalised, or zeros for a query without a
            descriptor, whose list stays as it is.
        descriptors: of the index images, by id.
        config: settings.

    Returns:
        The same lists in their new order, with `scores`.
    """

    def score(query: np.ndarray, found: np.ndarray) -> np.ndarray:
        scores = diffusion_scores(query, found, config)
        return np.where(scores > 0, scores, np.nan)

    return _rescored(
        results, queries, descriptors, score, config.depth, "diffusion"
    )


def rerank_k_reciprocal(
    results: SearchResults,
    queries: np.ndarray,
    descriptors: Descriptors,
    config: KReciprocal,
) -> SearchResults:
    """Orders the top of each list by k-reciprocal encoding.

    Images below `config.depth` follow as they are, those without a descriptor
    last. Arguments and what is returned are as for `diffuse`; the score is
    the negative final distance.
    """

    def score(query: np.ndarray, found: np.ndarray) -> np.ndarray:
        return -k_reciprocal_distances(query, found, config)

    return _rescored(
        results,
        queries,
        descriptors,
        score,
        config.depth,
        "k-reciprocal encoding",
    )


def _rescored(
    results: SearchResults,
    queries: np.ndarray,
    descriptors: Descriptors,
    score: Callable[[np.ndarray, np.ndarray], np.ndarray],
    depth: int,
    name: str,
) -> SearchResults:
    """Scores the top of each list; a score of NaN counts as none."""
    scores = results.similarities.astype(np.float64) - _BEHIND
    ids = results.ranks[:, :depth]
    known = results.similarities[:, :depth] > LEAST_SIMILARITY
    block = max(1, _NUMBERS_A_BLOCK // max(1, ids.shape[1] * queries.shape[1]))
    with Progress(len(queries), f"Ranking by {name}", "query") as progress:
        for start in range(0, len(queries), block):
            found = descriptors(ids[start : start + block])
            for row, descriptors_of_row in enumerate(found, start):
                # Images without a descriptor are all at the end.
                count = np.count_nonzero(known[row])
                if count and queries[row].any():
                    new = score(queries[row], descriptors_of_row[:count])
                    new = np.where(np.isnan(new), scores[row, :count], new)
                    scores[row, :count] = new
                progress.advance()
    order = np.lexsort((results.ranks, -scores), axis=1)
    ranked_by = f"{name}, from {results.ranked_by}"
    results = dataclasses.replace(results, scores=scores, ranked_by=ranked_by)
    return results.ordered(order)
