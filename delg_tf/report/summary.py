"""Tables of figures: mAP with intervals, other metrics, published numbers."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from delg_tf.evaluation.metrics.uncertainty import bootstrap_interval
from delg_tf.evaluation.published import PublishedRow
from delg_tf.report.retrieval_inputs import EvaluatedQuery, TableRow
from delg_tf.report.text import number_of, percent

_GLOBAL = "Global descriptor"
_RERANKED = "Re-ranked by inliers"


@dataclasses.dataclass(frozen=True)
class Cell:
    """A figure of a table.

    Attributes:
        text: in percent.
        interval: its confidence interval as text, or "".
        best: whether it is the highest of its column.
    """

    text: str
    interval: str
    best: bool


@dataclasses.dataclass(frozen=True)
class TextRow:
    """A line of a table.

    Attributes:
        name: of the line.
        cells: one a column.
        source: where published figures are from; "" if measured here.
    """

    name: str
    cells: list[Cell]
    source: str = ""


def measured_rows(
    queries: Sequence[EvaluatedQuery], protocols: Sequence[str]
) -> list[TableRow]:
    """Returns mAP of the rankings, with 95% bootstrap intervals."""
    rows = [_row(_GLOBAL, "before", queries, protocols)]
    if any(query.after is not None for query in queries):
        rows.append(_row(_RERANKED, "after", queries, protocols))
    return rows


def _row(
    name: str,
    which: str,
    queries: Sequence[EvaluatedQuery],
    protocols: Sequence[str],
) -> TableRow:
    values, intervals = {}, {}
    for protocol in protocols:
        outcomes = [
            getattr(query.outcomes[protocol], which) for query in queries
        ]
        precisions = np.array(
            [np.nan if o is None else o.average_precision for o in outcomes]
        )
        counted = precisions[~np.isnan(precisions)]
        values[protocol] = float(counted.mean()) if len(counted) else None
        if len(counted) > 1:
            interval = bootstrap_interval(counted)
            intervals[protocol] = (interval.low, interval.high)
    return TableRow(name, values, intervals)


def text_rows(
    rows: Sequence[TableRow], columns: Sequence[str]
) -> list[TextRow]:
    """Returns measured rows as text; the highest of each column is marked."""
    highest = {
        column: max(
            (
                number_of(row.values.get(column))
                for row in rows
                if not math.isnan(number_of(row.values.get(column)))
            ),
            default=None,
        )
        for column in columns
    }
    return [
        TextRow(
            row.name,
            [
                Cell(
                    percent(row.values.get(column)),
                    _interval(row.intervals.get(column)),
                    len(rows) > 1
                    and row.values.get(column) is not None
                    and row.values[column] == highest[column],
                )
                for column in columns
            ],
        )
        for row in rows
    ]


def published_text_rows(
    rows: Sequence[PublishedRow], columns: Sequence[str]
) -> list[TextRow]:
    """Returns published rows as text, those without any column left out."""
    return [
        TextRow(
            row.name,
            [
                Cell(percent(row.values.get(column)), "", False)
                for column in columns
            ],
            row.source,
        )
        for row in rows
        if set(row.values).intersection(columns)
    ]


def row_of_record(name: str, metrics: Mapping[str, Any]) -> TableRow:
    """Returns a part of a record's metrics as a line.

    Args:
        name: of the line.
        metrics: percent by name, with `intervals`, as in `RunRecord`.
    """
    intervals = metrics.get("intervals") or {}
    return TableRow(
        name,
        {key: value for key, value in metrics.items() if _is_number(value)},
        {key: (ends["low"], ends["high"]) for key, ends in intervals.items()},
    )


def other_metrics(
    metrics: Mapping[str, Mapping[str, Any]],
) -> tuple[list[str], list[TextRow]]:
    """Returns columns and rows of all means that a record's metrics hold.

    Args:
        metrics: by protocol, as in `RunRecord`.
    """
    rows = []
    for protocol, values in metrics.items():
        flat = {}
        for key, value in values.items():
            if isinstance(value, Mapping) and key != "intervals":
                for k, one in value.items():
                    if _is_number(one):
                        flat[key.replace("@k", f"@{k}")] = one
            elif _is_number(value):
                flat[key] = value
        rows.append(TableRow(protocol, flat))
    # A dictionary keeps the order, unlike a set.
    columns = list(dict.fromkeys(key for row in rows for key in row.values))
    return columns, text_rows(rows, columns)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _interval(ends: tuple[float, float] | None) -> str:
    if ends is None:
        return ""
    return f"{percent(ends[0])} to {percent(ends[1])}"
