"""The choice of the queries that the report shows."""

import dataclasses
import math
from collections.abc import Hashable, Mapping, Sequence

# Average precision in percent from which a ranking counts as working.
WORKING = 50.0
# Changes of average precision below this many points say nothing.
NOTABLE = 1.0

# In the order of the page: key, title, and the rule.
KINDS = {
    "helped": (
        "Re-ranking helped",
        f"the largest gains in AP, of at least {NOTABLE:.0f} point",
    ),
    "works": (
        "Both rankings work",
        f"the highest AP in the worse of both, of at least {WORKING:.0f}",
    ),
    "hurt": (
        "Re-ranking hurt",
        f"the largest losses in AP, of at least {NOTABLE:.0f} point",
    ),
    "failed": (
        "Failures",
        f"the lowest AP after re-ranking, below {WORKING:.0f}",
    ),
}
# The kinds take turns in this order until there are enough queries.
_TURNS = (
    "helped", "works", "failed", "hurt", "helped", "works", "failed", "helped",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ChosenQuery:
    """A query to show.

    Attributes:
        place: its place among all queries.
        kind: key of `KINDS`, why it was chosen.
    """

    place: int
    kind: str


def choose_queries(
    before: Sequence[float],
    after: Sequence[float],
    landmarks: Sequence[Hashable],
    count: int,
) -> list[ChosenQuery]:
    """Chooses successes and failures by rule, not by eye.

    The kinds of `KINDS` take turns, each with its most extreme query that is
    left. A second query of a landmark comes only when no other is left.

    Args:
        before: AP in percent of each query before re-ranking; NaN for
            queries without right images, which are never chosen.
        after: AP after re-ranking.
        landmarks: what each query shows; equal for equal landmarks.
        count: how many queries to choose at most.

    Returns:
        Distinct queries, kind by kind in the order of `KINDS`, the most
        extreme of each kind first.
    """
    candidates = _candidates(before, after)
    chosen: dict[int, str] = {}
    for distinct in (True, False):
        added = True
        while added:
            added = False
            for kind in _TURNS:
                place = _next(candidates[kind], chosen, landmarks, distinct)
                if place is not None and len(chosen) < count:
                    chosen[place] = kind
                    added = True
    return [
        ChosenQuery(place, kind)
        for kind in KINDS
        for place, why in chosen.items()
        if why == kind
    ]


def _candidates(
    before: Sequence[float], after: Sequence[float]
) -> Mapping[str, list[int]]:
    """Returns for each kind its queries, the most extreme first."""
    gain = [new - old for old, new in zip(before, after)]
    worse = [min(old, new) for old, new in zip(before, after)]
    places = [place for place, value in enumerate(gain) if math.isfinite(value)]
    return {
        "helped": sorted(
            (place for place in places if gain[place] >= NOTABLE),
            key=lambda place: -gain[place],
        ),
        "works": sorted(
            (place for place in places if worse[place] >= WORKING),
            key=lambda place: -worse[place],
        ),
        "hurt": sorted(
            (place for place in places if gain[place] <= -NOTABLE),
            key=lambda place: gain[place],
        ),
        "failed": sorted(
            (place for place in places if after[place] < WORKING),
            key=lambda place: after[place],
        ),
    }


def _next(
    queue: Sequence[int],
    chosen: Mapping[int, str],
    landmarks: Sequence[Hashable],
    distinct: bool,
) -> int | None:
    """Returns the first query of the queue that may still be chosen."""
    shown = {landmarks[place] for place in chosen} if distinct else set()
    for place in queue:
        if place not in chosen and landmarks[place] not in shown:
            return place
    return None
