"""What the report shows of one query."""

import dataclasses
import math

import markupsafe

from delg_tf.report import curve_charts
from delg_tf.report.page import Picture
from delg_tf.report.query_pictures import SYMBOLS, QueryPictures
from delg_tf.report.retrieval_inputs import (
    EvaluatedQuery,
    QueryOutcome,
    RankedList,
)
from delg_tf.report.selection import KINDS, ChosenQuery
from delg_tf.report.text import counted, percent, points

TOP = 10


@dataclasses.dataclass(frozen=True)
class RankedPicture:
    """One place of a ranked list.

    Attributes:
        rank: from 1.
        name: of the index image.
        uri: its picture; "" if it is gone.
        mark: "right", "wrong" or "junk".
        symbol: of the mark.
        score: its similarity or inliers, as text.
        move: its place before re-ranking, as text, or "".
        alt: all that in words.
    """

    rank: int
    name: str
    uri: str
    mark: str
    symbol: str
    score: str
    move: str
    alt: str


@dataclasses.dataclass(frozen=True)
class QueryView:
    """All that is shown of one query.

    Attributes:
        number: on the page, from 1.
        name: of the query image.
        kind: key of `KINDS`.
        kind_title: the same for people.
        ap: after all rankings, in percent.
        change: of AP by re-ranking in points; 0 without.
        ap_before: in percent, as text.
        ap_after: in percent, as text; "" without re-ranking.
        gain: with its sign, as text.
        counts: numbers of right and junk images, as text.
        photos: the query, and attention maps.
        rankings: heading, key and first places of each ranked list.
        matches: pictures of inliers.
        curve: precision over recall.
    """

    number: int
    name: str
    kind: str
    kind_title: str
    ap: float
    change: float
    ap_before: str
    ap_after: str
    gain: str
    counts: str
    photos: list[Picture]
    rankings: list[tuple[str, str, list[RankedPicture]]]
    matches: list[Picture]
    curve: markupsafe.Markup


def mark_of(outcome: QueryOutcome, name: str) -> str:
    """Returns "right", "wrong" or "junk"."""
    if name in outcome.right:
        return "right"
    return "junk" if name in outcome.junk else "wrong"


class QueryViews:
    """Draws queries.

    Args:
        queries: all of them.
        protocol: under which they are shown.
        score_name: what similarities are.
        drawer: of their pictures.
    """

    def __init__(
        self,
        queries: list[EvaluatedQuery],
        protocol: str,
        score_name: str,
        drawer: QueryPictures,
    ):
        self._queries = queries
        self._protocol = protocol
        self._score_name = score_name
        self._drawer = drawer

    def draw(self, number: int, choice: ChosenQuery) -> QueryView:
        """Returns what is shown of a query."""
        query = self._queries[choice.place]
        outcome = query.outcomes[self._protocol]
        after = outcome.after
        rankings = [
            (
                "Before: by global descriptor" if after else "Ranked list",
                "before",
                self._places(query, outcome, is_after=False),
            )
        ]
        if query.after is not None:
            heading = "After re-ranking: by inliers, then by global descriptor"
            places = self._places(query, outcome, is_after=True)
            rankings.append((heading, "after", places))
        return QueryView(
            number=number,
            name=query.name,
            kind=choice.kind,
            kind_title=KINDS[choice.kind][0],
            ap=outcome.last.average_precision,
            change=0.0 if math.isnan(outcome.gain) else outcome.gain,
            ap_before=percent(outcome.before.average_precision),
            ap_after=percent(after.average_precision) if after else "",
            gain=points(outcome.gain),
            counts=_counts(outcome),
            photos=self._photos(query, outcome),
            rankings=rankings,
            matches=self._matches(query, outcome),
            curve=curve_charts.query_curve(number, query.name, outcome),
        )

    def _places(
        self, query: EvaluatedQuery, outcome: QueryOutcome, is_after: bool
    ) -> list[RankedPicture]:
        ranking = query.after if is_after else query.before
        before = {name: i for i, name in enumerate(query.before.names, 1)}
        inliers_of = _inliers_by_name(query.after)
        places = []
        for place, name in enumerate(ranking.names[:TOP]):
            mark = mark_of(outcome, name)
            similarity = ""
            if ranking.similarities is not None:
                value = ranking.similarities[place]
                similarity = f"{self._score_name} {value:.2f}"
            inliers = inliers_of.get(name, "not verified") if inliers_of else ""
            move = ""
            if is_after:
                # Only the lists' beginnings may be there.
                rank = before.get(name)
                move = f"was {rank}" if rank else f"was after {len(before)}"
            words = [f"Rank {place + 1}: {name}", mark]
            words += [inliers, similarity, move]
            places.append(
                RankedPicture(
                    rank=place + 1,
                    name=name,
                    uri=self._drawer.thumbnail(name),
                    mark=mark,
                    symbol=SYMBOLS[mark],
                    score=inliers if is_after else similarity,
                    move=move if is_after else inliers,
                    alt=", ".join(word for word in words if word),
                )
            )
        return places

    def _photos(
        self, query: EvaluatedQuery, outcome: QueryOutcome
    ) -> list[Picture]:
        ranking = query.after or query.before
        for name in ranking.names:
            if mark_of(outcome, name) == "right":
                return self._drawer.photos(query, name, "best right")
        first = ranking.names[0] if len(ranking.names) else None
        return self._drawer.photos(query, first, "first")

    def _matches(
        self, query: EvaluatedQuery, outcome: QueryOutcome
    ) -> list[Picture]:
        """Match lines with the best right and the best wrong image."""
        ranking = query.after or query.before
        inliers_of = _inliers_by_name(query.after)
        found: dict[str, Picture | None] = {}
        for rank, name in enumerate(ranking.names, start=1):
            mark = mark_of(outcome, name)
            if mark == "junk" or mark in found:
                continue
            where = f"rank {rank}"
            if inliers_of and name not in inliers_of:
                where += " (too far down the global ranking to be verified)"
            found[mark] = self._drawer.match(query, name, mark, where)
            if len(found) == 2:
                break
        ordered = (found.get(mark) for mark in ("right", "wrong"))
        return [picture for picture in ordered if picture is not None]


def _inliers_by_name(ranking: RankedList | None) -> dict[str, str]:
    """Returns numbers of inliers as text, of what was verified."""
    if ranking is None or ranking.inliers is None:
        return {}
    return {
        name: counted(int(number), "inlier")
        for name, number in zip(ranking.names, ranking.inliers)
        if number >= 0
    }


def _counts(outcome: QueryOutcome) -> str:
    right, found = len(outcome.right), len(outcome.last.ranks)
    text = f"{counted(right, 'right image')} and {len(outcome.junk)} junk"
    if found < right:
        text += f"; {found} of the right ones were found"
    return text
