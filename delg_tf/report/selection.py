"""The choice of the queries that the report shows, and their order."""

import dataclasses
import math
from collections.abc import Hashable, Mapping, Sequence

# Average precision in percent from which a ranking counts as working.
WORKING = 50.0
# Changes of average precision below this many points say nothing.
NOTABLE = 1.0

# Title and rule of each kind.
KINDS = {
    "failed": ("Failure", f"the lowest AP, below {WORKING:.0f}"),
    "helped": (
        "Re-ranking helped",
        f"the largest gains in AP, of at least {NOTABLE:.0f} point",
    ),
    "hurt": (
        "Re-ranking hurt",
        f"the largest losses in AP, of at least {NOTABLE:.0f} point",
    ),
    "weak": ("Weakest of the rest", "the lowest AP of those that are left"),
    "works": (
        "Works",
        f"the highest AP in the worst ranking, of at least {WORKING:.0f}",
    ),
}
# The kinds take turns in this order until there are enough queries; failures
# teach most.
_TURNS = ("failed", "helped", "failed", "hurt", "works")


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
    """Chooses failures and successes by rule, not by eye.

    The kinds of `KINDS` take turns, each with its most extreme query that is
    left; then come the weakest of the others. A second query of a landmark
    comes only when no other is left.

    Args:
        before: AP in percent of each query before re-ranking; NaN for
            queries without right images, which are never chosen.
        after: AP after re-ranking; the same as `before` without.
        landmarks: what each query shows; equal for equal landmarks.
        count: how many queries to choose at most.

    Returns:
        Distinct queries, the lowest AP (after re-ranking) first.
    """
    candidates = _candidates(before, after)
    chosen: dict[int, str] = {}
    for turns in (_TURNS, ("weak",)):
        for distinct in (True, False):
            added = True
            while added:
                added = False
                for kind in turns:
                    place = _next(candidates[kind], chosen, landmarks, distinct)
                    if place is not None and len(chosen) < count:
                        chosen[place] = kind
                        added = True
    return [
        ChosenQuery(place, chosen[place])
        for place in sorted(chosen, key=lambda place: (after[place], place))
    ]


def _candidates(
    before: Sequence[float], after: Sequence[float]
) -> Mapping[str, list[int]]:
    """Returns for each kind its queries, the most extreme first."""
    gain = [new - old for old, new in zip(before, after)]
    worse = [min(old, new) for old, new in zip(before, after)]
    places = [place for place, value in enumerate(gain) if math.isfinite(value)]

    def by(values: Sequence[float], keep: Sequence[bool]) -> list[int]:
        return sorted(
            (place for place in places if keep[place]),
            key=lambda place: values[place],
        )

    return {
        "helped": by([-g for g in gain], [g >= NOTABLE for g in gain]),
        "hurt": by(gain, [g <= -NOTABLE for g in gain]),
        "failed": by(after, [ap < WORKING for ap in after]),
        "works": by([-w for w in worse], [w >= WORKING for w in worse]),
        "weak": by(after, [True] * len(after)),
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
