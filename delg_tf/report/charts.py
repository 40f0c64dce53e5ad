"""Charts of results: bars of mAP, AP of each query."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import markupsafe
import numpy as np

from delg_tf.report import svg
from delg_tf.report.text import number_of


@dataclasses.dataclass(frozen=True)
class Chart:
    """A chart with its words.

    Attributes:
        title: its heading.
        picture: the SVG element.
        note: what to look for.
    """

    title: str
    picture: markupsafe.Markup
    note: str = ""


def results_chart(
    rows: Sequence[tuple[str, Mapping[str, float | None]]],
    protocols: Sequence[str],
    metric_name: str = "mAP",
) -> Chart:
    """Draws mAP as bars: a group for each protocol, a bar for each ranking.

    Args:
        rows: name of each ranking, and its mAP in percent by protocol.
        protocols: keys to show.
        metric_name: of the heights.
    """
    figure, axes = svg.new_axes(5.4, 2.9)
    colors = (svg.GREY, svg.BLUE, svg.TEAL, svg.AMBER)
    # The last rows are those of this run: the grey one is another network.
    colors = colors[1:] if len(rows) < len(colors) - 1 else colors
    width = 0.8 / max(len(rows), 1)
    for row, (name, values) in enumerate(rows):
        heights = [number_of(values.get(protocol)) for protocol in protocols]
        places = np.arange(len(protocols)) + (row - (len(rows) - 1) / 2) * width
        bars = axes.bar(
            places,
            np.nan_to_num(heights),
            0.92 * width,
            color=colors[row % len(colors)],
            label=name,
        )
        texts = ["–" if math.isnan(h) else f"{h:.0f}" for h in heights]
        axes.bar_label(bars, texts, padding=2, color=svg.INK, fontsize=9)
    axes.set_xticks(
        range(len(protocols)), [name.capitalize() for name in protocols]
    )
    axes.set_ylim(0, 105)
    svg.set_labels(axes, "", f"{metric_name}, %")
    svg.add_legend(axes, 3)
    return Chart(
        f"{metric_name} by protocol",
        svg.to_svg(figure, "Bars of the mean average precision in the table"),
    )


def sorted_ap_chart(before: Sequence[float], after: Sequence[float]) -> Chart:
    """Draws each query's AP, the lowest first.

    Args:
        before: AP in percent of each query; NaN is left out.
        after: the same after re-ranking; equal to `before` without.
    """
    before, after = (np.asarray(values, float) for values in (before, after))
    order = np.argsort(after, kind="stable")
    order = order[~np.isnan(after[order])]
    places = np.arange(1, len(order) + 1)
    figure, axes = svg.new_axes(4.6, 3.6)
    is_reranked = not np.array_equal(before, after, equal_nan=True)
    axes.stairs(
        after[order],
        np.arange(len(order) + 1) + 0.5,
        fill=True,
        color=svg.TEAL,
        alpha=0.45,
        label="after re-ranking" if is_reranked else None,
    )
    if is_reranked:
        axes.plot(
            places,
            before[order],
            color=svg.BLUE,
            linestyle="none",
            marker="_",
            markersize=max(2.5, min(8.0, 250 / max(len(order), 1))),
            label="before",
        )
    axes.set_xlim(0.5, max(len(order), 1) + 0.5)
    axes.set_ylim(0, 105)
    svg.set_labels(axes, "queries by AP, worst first", "AP, %")
    svg.add_legend(axes)
    counted = after[order]
    note = "No query has a right image."
    if len(counted):
        note = (
            f"Median {np.median(counted):.1f}; {int(np.sum(counted < 10))} of "
            f"{len(counted)} queries are below 10, "
            f"{int(np.sum(counted >= 90))} at 90 or more."
        )
    return Chart(
        "AP, worst query first",
        svg.to_svg(figure, "Average precision of each query, sorted"),
        note,
    )


def average_precision_chart(
    before: Sequence[float],
    after: Sequence[float],
    numbers: Mapping[int, int],
) -> Chart:
    """Draws each query's AP after re-ranking over that before.

    Args:
        before: AP in percent of each query; NaN is left out.
        after: the same after re-ranking.
        numbers: of the queries that the page shows, by place.
    """
    figure, axes = svg.new_axes(4.6, 3.6)
    axes.plot([0, 100], [0, 100], color=svg.MUTED, linewidth=0.9, dashes=(4, 3))
    axes.scatter(
        before, after, s=24, color=svg.TEAL, alpha=0.55, linewidths=0, zorder=3
    )
    for place, number in numbers.items():
        axes.annotate(
            str(number),
            (before[place], after[place]),
            # Neighbours are likely to be one number apart.
            xytext=(4, 4) if number % 2 else (4, -11),
            textcoords="offset points",
            color=svg.INK,
            fontsize=9,
            fontweight="bold",
            zorder=4,
        )
    for set_limits in (axes.set_xlim, axes.set_ylim):
        set_limits(-3, 105)
    svg.set_labels(axes, "AP before re-ranking, %", "AP after, %")
    gains = np.asarray(after) - np.asarray(before)
    better, worse = int(np.sum(gains > 0)), int(np.sum(gains < 0))
    return Chart(
        "AP before and after",
        svg.to_svg(
            figure,
            "Average precision of each query before and after re-ranking",
        ),
        f"Above the dashed line re-ranking helped ({better} queries), below "
        f"it hurt ({worse}). Numbers are those of the queries shown above.",
    )
