"""Runs side by side as one HTML file."""

from typing import Any

from delg_tf.common.files import PathLike
from delg_tf.evaluation.comparison.markdown import (
    HOW_TO_READ,
    NOT_MEASURED,
    difference_text,
    p_text,
    percent,
    value_text,
)
from delg_tf.evaluation.comparison.report import Comparison, protocol_title
from delg_tf.evaluation.published import published_columns, published_text
from delg_tf.report import svg
from delg_tf.report.charts import Chart
from delg_tf.report.comparison_queries import ComparisonPictures
from delg_tf.report.page import write_page

# Queries in the table; more would make a page slow.
MAX_ROWS = 2000


def write_comparison_page(
    path: PathLike, comparison: Comparison, num_pictures: int = 8
) -> None:
    """Writes the page; replaces an older one.

    Photographs, rankings and labels that the records do not name, or that are
    gone, are left out, and the page says so.

    Args:
        path: the file to write.
        comparison: of `compare_runs`.
        num_pictures: queries with pictures, at most.
    """
    drawn = ComparisonPictures(comparison)
    queries = drawn.queries(num_pictures)
    names = [run.name for run in comparison.runs]
    differ = [s for s in comparison.settings if s.differs]
    published = comparison.published
    content = {
        "title": f"{names[0]} and {', '.join(names[1:])}",
        "names": names,
        "warnings": comparison.warnings,
        "notes": [
            *comparison.notes,
            *(drawn.missing() if num_pictures else ()),
        ],
        "differ": differ,
        "same": [s for s in comparison.settings if not s.differs],
        "how_to_read": HOW_TO_READ,
        "metrics": _metrics(comparison),
        "charts": _charts(comparison),
        "protocol": protocol_title(comparison.protocol),
        "queries": queries,
        "table": [
            [row.name, *map(percent, row.values), _signed(row.change)]
            for row in comparison.queries[:MAX_ROWS]
        ],
        "left_out": max(0, len(comparison.queries) - MAX_ROWS),
        "not_measured": NOT_MEASURED,
        "published": published,
        "columns": published_columns(published),
        "published_text": published_text,
    }
    write_page(path, "compare.html", content)


def _metrics(comparison: Comparison) -> list[dict[str, Any]]:
    """Rows of the table, a group a protocol."""
    groups: dict[str, list[list[str]]] = {}
    for row in comparison.rows:
        line = [row.measure.name]
        line += [value_text(row, p) for p in range(len(comparison.runs))]
        for difference in row.differences[1:]:
            line += [difference_text(difference), p_text(difference)]
        groups.setdefault(row.measure.protocol, []).append(line)
    return [
        {"title": protocol_title(key), "rows": rows}
        for key, rows in groups.items()
    ]


def _charts(comparison: Comparison) -> list[Chart]:
    """For each further run its queries' AP over those of the first."""
    charts = []
    for place, run in enumerate(comparison.runs[1:], 1):
        pairs = [
            (row.values[0], row.values[place])
            for row in comparison.queries
            if row.values[0] == row.values[0]
            and row.values[place] == row.values[place]
        ]
        if not pairs:
            continue
        figure, axes = svg.new_axes(4.6, 3.6)
        axes.plot(
            [0, 100], [0, 100], color=svg.MUTED, linewidth=0.9, dashes=(4, 3)
        )
        axes.scatter(
            *zip(*pairs), s=24, color=svg.TEAL, alpha=0.55, linewidths=0
        )
        first = comparison.runs[0].name
        svg.set_labels(axes, f"AP in {first}, %", f"AP in {run.name}, %")
        better = sum(b > a for a, b in pairs)
        worse = sum(b < a for a, b in pairs)
        charts.append(
            Chart(
                f"{run.name} over {first}",
                svg.to_svg(figure, f"AP of each query in {first}, {run.name}"),
                f"Above the dashed line {run.name} is better ({better} "
                f"queries), below it worse ({worse}).",
            )
        )
    return charts


def _signed(value: float) -> str:
    return "–" if value != value else f"{value:+.2f}"
