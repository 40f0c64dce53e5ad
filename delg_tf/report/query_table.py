"""The table of every query's average precision."""

import dataclasses
import math
from collections.abc import Mapping

from delg_tf.report.retrieval_inputs import RetrievalReport
from delg_tf.report.text import percent, points

# Queries in the table: those of the lowest AP; more would make a page slow.
MAX_ROWS = 2000


@dataclasses.dataclass(frozen=True)
class SortableCell:
    """A number of the table.

    Attributes:
        text: for people.
        key: what the table sorts by; "" for no number, which comes last.
    """

    text: str
    key: float | str


@dataclasses.dataclass(frozen=True)
class QueryRow:
    """A line of the table.

    Attributes:
        number: of the query on the page, or None if it is not shown.
        name: of the query.
        cells: AP of each protocol (before, after, change), right images.
    """

    number: int | None
    name: str
    cells: list[SortableCell]


@dataclasses.dataclass(frozen=True)
class QueryTable:
    """The table.

    Attributes:
        headings: of the numbers.
        rows: the lowest AP first; queries without right images last.
        left_out: how many queries of higher AP are not listed.
    """

    headings: list[str]
    rows: list[QueryRow]
    left_out: int


def query_table(
    report: RetrievalReport, numbers: Mapping[int, int]
) -> QueryTable:
    """Returns the table of AP of all queries and protocols.

    Args:
        report: what the page is made of.
        numbers: of the queries that the page shows, by place.
    """
    is_reranked = any(query.after is not None for query in report.queries)
    headings = []
    for protocol in report.protocols:
        name = protocol.capitalize()
        headings.append(f"{name}, before" if is_reranked else name)
        if is_reranked:
            headings += [f"{name}, after", f"{name}, change"]
    order = sorted(
        range(len(report.queries)), key=lambda place: _key(report, place)
    )
    rows = [
        QueryRow(
            numbers.get(place),
            report.queries[place].name,
            _cells(report, place, is_reranked),
        )
        for place in order[:MAX_ROWS]
    ]
    return QueryTable(
        [*headings, "Right images"], rows, max(0, len(order) - MAX_ROWS)
    )


def _key(report: RetrievalReport, place: int) -> tuple[bool, float, int]:
    outcome = report.queries[place].outcomes[report.protocol]
    value = outcome.last.average_precision
    return math.isnan(value), value, place


def _cells(
    report: RetrievalReport, place: int, is_reranked: bool
) -> list[SortableCell]:
    query = report.queries[place]
    cells = []
    for protocol in report.protocols:
        outcome = query.outcomes[protocol]
        cells.append(_percent(outcome.before.average_precision))
        if is_reranked:
            cells.append(_percent(outcome.last.average_precision))
            cells.append(_cell(outcome.gain, points(outcome.gain)))
    right = len(query.outcomes[report.protocol].right)
    return [*cells, _cell(right, f"{right:,}")]


def _percent(value: float) -> SortableCell:
    return _cell(value, percent(value))


def _cell(value: float, text: str) -> SortableCell:
    # Numbers that are not there come last, whatever the order.
    return SortableCell(text, "" if math.isnan(value) else round(value, 6))
