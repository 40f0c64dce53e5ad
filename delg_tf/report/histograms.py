"""Histograms of inliers or scores of right, wrong and junk."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from delg_tf.report import svg
from delg_tf.report.charts import Chart

# Bars of the histogram; the last one holds all higher values.
INLIER_BINS = 24
_HISTOGRAM_PERCENTILE = 99.0


def inliers_chart(
    right: np.ndarray, wrong: np.ndarray, junk: np.ndarray
) -> Chart:
    """Draws how many inliers right, wrong and junk pairs have.

    Args:
        right: int [R], inliers of each verified pair of a query with a right
            image.
        wrong: int [W], the same for wrong images.
        junk: int [J], the same for junk images.
    """
    figure, axes = svg.new_axes(4.6, 3.6)
    kinds = {"right": right, "wrong": wrong}
    if len(junk):
        kinds["junk"] = junk
    draw_histograms(axes, kinds, "inliers", INLIER_BINS)
    note = "No pair was verified."
    if any(map(len, kinds.values())):
        medians = ", ".join(
            f"{_median(values)} for {name} pairs"
            for name, values in kinds.items()
        )
        note = (
            f"Median number of inliers: {medians}. The less right and wrong "
            "overlap, the better re-ranking works. The last bar holds all "
            "higher counts."
        )
    return Chart(
        "Inliers of verified pairs",
        svg.to_svg(
            figure, "Histograms of inliers of right, wrong and junk pairs"
        ),
        note,
    )


def draw_histograms(
    axes: Axes,
    kinds: Mapping[str, np.ndarray],
    unit: str,
    least: float = 0.0,
    share_of: str = "pairs",
) -> None:
    """Draws histograms of two or three kinds over each other.

    Args:
        axes: to draw on.
        kinds: values [N] by name: good ones first, then bad ones, then those
            that do not count.
        unit: what the values are.
        least: the axis goes at least to this value.
        share_of: what there are so many of.
    """
    # Of each kind by itself: the rare one is not to end in the last bar.
    tops = [
        np.percentile(values, _HISTOGRAM_PERCENTILE)
        for values in kinds.values()
        if len(values)
    ]
    lowest = min([0, *(np.min(v) for v in kinds.values() if len(v))])
    top = max([least, *tops])
    edges = np.linspace(
        lowest, top if top > lowest else lowest + 1, INLIER_BINS + 1
    )
    styles = zip(
        kinds.items(), (svg.GREEN, svg.RED, svg.MUTED), ("-", (0, (4, 2)), ":")
    )
    # The good ones lie on top.
    for (name, values), color, line in reversed(list(styles)):
        counts, _ = np.histogram(np.minimum(values, edges[-1]), edges)
        shares = 100 * counts / max(len(values), 1)
        axes.stairs(shares, edges, fill=True, color=color, alpha=0.3)
        axes.stairs(
            shares,
            edges,
            color=color,
            linewidth=1.4,
            linestyle=line,
            label=f"{name} ({len(values):,})",
        )
    axes.set_xlim(edges[0], edges[-1])
    svg.set_labels(axes, unit, f"share of the {share_of}, %")
    handles, names = axes.get_legend_handles_labels()
    # More in a row would not fit above the plot.
    columns = 2 if sum(map(len, names)) > 40 else 3
    svg.add_legend(axes, columns, (handles[::-1], names[::-1]))


def _median(values: np.ndarray) -> str:
    return f"{np.median(values):.0f}" if len(values) else "–"
