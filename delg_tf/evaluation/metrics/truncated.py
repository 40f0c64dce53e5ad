"""Average precision of the first k of a list ("mAP@5"); needs NumPy only.

Formula: AP@k = (1 / n) * sum over i = 1..k of P(i) * rel(i), where rel(i) is 1
if the image at place i is right and did not come before, else 0, P(i) is the
share of right ones among the first i, and R is how many right images there
are. Places that the list does not have are wrong. What "mAP@k" means differs
by its divisor n, and papers seldom say which they took:

- `limited`, n = min(R, k): 1 if all that fit are right. Kaggle and Google
  Landmarks v2 (mAP@100). The default, and what "mAP@5" is here.
- `all`, n = R: what is not within k counts as not found, so that a query with
  R > k never reaches 1. ranx's `map@k` and trec_eval's `map_cut`.
- `found`, n = hits within k (0 if there are none): one right image in front
  gives 1 however many are missing. torchmetrics' `RetrievalMAP(top_k=k)`, and
  many short scripts.

For a list that is right at places 2 and 4, k = 5 and R = 10, these are
(1/2 + 2/4) / 5 = 0.2, / 10 = 0.1 and / 2 = 0.5. scikit-learn's
`average_precision_score` has no k, and knows nothing of images that the list
lacks. All sum rectangles; `metrics.revisited` and `metrics.oxford` take the
trapezoids.
"""

from collections.abc import Collection, Hashable, Iterable, Sequence

import numpy as np

DIVISORS = ("limited", "all", "found")


def first_hits(
    ranking: Sequence[Hashable], positives: Collection[Hashable], limit: int
) -> np.ndarray:
    """Returns which of the first places hold a right image for the first time.

    Args:
        ranking: N ids, best first; names or numbers. A repeated id keeps its
            place and is wrong there.
        positives: ids of the right images.
        limit: places that count, at least 1.

    Returns:
        bool [min(N, limit)].

    Raises:
        ValueError: `limit` is smaller than 1.
    """
    if limit < 1:
        raise ValueError(f"`limit` must be at least 1. Received: {limit}")
    left = set(_plain(positives))
    hits = np.zeros(min(len(ranking), limit), np.bool_)
    for place, image in enumerate(_plain(ranking[:limit])):
        if image in left:
            left.remove(image)
            hits[place] = True
    return hits


def precision_at_hits(hits: np.ndarray) -> np.ndarray:
    """Returns the precision of the list up to each hit.

    Args:
        hits: bool [N], which places are right.

    Returns:
        float64 [number of hits].
    """
    places = np.flatnonzero(hits)
    return np.arange(1, len(places) + 1) / (places + 1)


def truncated_average_precision(
    ranking: Sequence[Hashable],
    positives: Collection[Hashable],
    k: int,
    divisor: str = "limited",
) -> float:
    """Returns AP@k of one query; see the module for the formula.

    Args:
        ranking: ids, best first; may be shorter or longer than k.
        positives: ids of the right images.
        k: places that count, at least 1.
        divisor: one of `DIVISORS`.

    Returns:
        A value from 0 to 1; NaN without positives.

    Raises:
        ValueError: `k` is smaller than 1, or there is no such divisor.
    """
    if divisor not in DIVISORS:
        raise ValueError(
            f"`divisor` must be one of {DIVISORS}. Received: {divisor!r}"
        )
    precision = precision_at_hits(first_hits(ranking, positives, k))
    count = len(set(_plain(positives)))
    if not count:
        return float("nan")
    parts = {"limited": min(count, k), "all": count, "found": len(precision)}
    return float(precision.sum() / max(parts[divisor], 1))


def truncated_average_precisions(
    rankings: Sequence[Sequence[Hashable]],
    positives: Sequence[Collection[Hashable]],
    k: int,
    divisor: str = "limited",
) -> np.ndarray:
    """Returns AP@k of Q queries; mAP@k is their mean, `np.nanmean`.

    Args:
        rankings: for each query ids, best first.
        positives: for each query the ids of the right images.
        k: places that count, at least 1.
        divisor: one of `DIVISORS`.

    Returns:
        float64 [Q]; NaN for queries without positives, which the mean leaves
        out.

    Raises:
        ValueError: as `truncated_average_precision`, or there are not as
            many lists as queries.
    """
    if len(rankings) != len(positives):
        raise ValueError(
            "`positives` must have one entry a ranking. Received: "
            f"{len(positives)} for {len(rankings)}"
        )
    return np.array(
        [
            truncated_average_precision(ranking, right, k, divisor)
            for ranking, right in zip(rankings, positives)
        ],
        np.float64,
    )


def _plain(ids: Iterable[Hashable]) -> Iterable[Hashable]:
    """Arrays as lists: their scalars are slow to hash."""
    return ids.tolist() if isinstance(ids, np.ndarray) else ids
