"""Charts of results and of the training run."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import markupsafe
import numpy as np
from matplotlib.axes import Axes

from delg_tf.report import svg

# Bars of the histogram of inliers; the last one holds all higher counts.
_BINS = 24
_HISTOGRAM_PERCENTILE = 99.0
# Inches; narrower than others, as three stand side by side.
_CURVE_SIZE = (3.7, 2.4)


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
) -> Chart:
    """Draws mAP as bars: a group for each protocol, a bar for each ranking.

    Args:
        rows: name of each ranking, and its mAP in percent by protocol.
        protocols: keys to show.
    """
    figure, axes = svg.new_axes(5.4, 2.9)
    colors = (svg.GREY, svg.BLUE, svg.TEAL)
    width = 0.8 / max(len(rows), 1)
    for row, (name, values) in enumerate(rows):
        heights = [_number(values.get(protocol)) for protocol in protocols]
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
    svg.set_labels(axes, "", "mAP, %")
    svg.add_legend(axes, 3)
    return Chart(
        "mAP by protocol",
        svg.to_svg(figure, "Bars of the mean average precision in the table"),
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
        "AP of each query",
        svg.to_svg(
            figure,
            "Average precision of each query before and after re-ranking",
        ),
        f"Above the dashed line re-ranking helped ({better} queries), below "
        f"it hurt ({worse}). Numbers are those of the queries shown above.",
    )


def inliers_chart(right: np.ndarray, wrong: np.ndarray) -> Chart:
    """Draws how many inliers right and wrong pairs have.

    Args:
        right: int [R], inliers of each verified pair of a query with a right
            image.
        wrong: int [W], the same for wrong images.
    """
    figure, axes = svg.new_axes(4.6, 3.6)
    draw_inliers(axes, right, wrong, ("right", "wrong"))
    note = "No pair was verified."
    if len(right) or len(wrong):
        note = (
            f"Median number of inliers: {_median(right)} for right pairs, "
            f"{_median(wrong)} for wrong ones. The less the two overlap, the "
            "better re-ranking works. The last bar holds all higher counts."
        )
    return Chart(
        "Inliers of verified pairs",
        svg.to_svg(figure, "Histogram of inliers of right and of wrong pairs"),
        note,
    )


def draw_inliers(
    axes: Axes, right: np.ndarray, wrong: np.ndarray, names: tuple[str, str]
) -> None:
    """Draws the histograms of the inliers of two kinds of pairs.

    Args:
        axes: to draw on.
        right: int [R], inliers of pairs of one landmark.
        wrong: int [W], the same for other pairs.
        names: of the two kinds, for the legend.
    """
    # Of each kind by itself: the rare one is not to end in the last bar.
    tops = [
        np.percentile(values, _HISTOGRAM_PERCENTILE)
        for values in (right, wrong)
        if len(values)
    ]
    edges = np.linspace(0, max([_BINS, *tops]), _BINS + 1)
    for values, color, name in (
        (wrong, svg.RED, names[1]),
        (right, svg.GREEN, names[0]),
    ):
        counts, _ = np.histogram(np.minimum(values, edges[-1]), edges)
        shares = 100 * counts / max(len(values), 1)
        axes.stairs(shares, edges, fill=True, color=color, alpha=0.35)
        axes.stairs(
            shares,
            edges,
            color=color,
            linewidth=1.4,
            label=f"{name} ({len(values)})",
        )
    axes.set_xlim(0, edges[-1])
    svg.set_labels(axes, "inliers", "share of the pairs, %")
    svg.add_legend(axes)


def training_charts(rows: Sequence[Mapping]) -> list[Chart]:
    """Draws the curves of a training run.

    Args:
        rows: lines of the run's history, each with `step`, `kind` ("train",
            "validation" or "network") and figures.

    Returns:
        A chart for each group of figures that the history has.
    """
    charts = []
    for key, title, note in (
        ("global", "Global loss", "ArcFace cross-entropy, L_g. Validation "
         "leaves out the margin and is thus lower."),
        ("attention", "Attention loss", "Cross-entropy of the local head, "
         "L_a."),
        ("reconstruction", "Reconstruction loss", "Mean squared error of the "
         "autoencoder, L_r."),
        ("global_accuracy", "Accuracy of the global descriptor", "Share of "
         "the images classified right."),
        ("local_accuracy", "Accuracy of the local head", "Share of the images "
         "classified right from their attended local features."),
    ):  # fmt: skip
        lines = [
            (kind, *_curve(rows, kind, key)) for kind in ("train", "validation")
        ]
        charts.append(_line_chart(title, lines, note))
    charts.append(
        _line_chart(
            "Learning rate",
            [("", *_curve(rows, "train", "learning_rate"))],
            "Warm-up, then a linear decay.",
        )
    )
    sparsity = [
        (block, *_curve(rows, "network", f"sparsity/{block}"))
        for block in ("block1", "block2", "block3", "block4")
    ]
    charts.append(
        _line_chart(
            "Sparsity", sparsity, "Share of zeros in the output of each block."
        )
    )
    charts.append(_attention_chart(rows))
    return [chart for chart in charts if chart is not None]


Line = tuple[str, np.ndarray, np.ndarray]


def _line_chart(title: str, lines: Sequence[Line], note: str) -> Chart | None:
    """Draws (name, steps, values) as lines; None if all are empty."""
    lines = [line for line in lines if len(line[1])]
    if not lines:
        return None
    figure, axes = svg.new_axes(*_CURVE_SIZE)
    colors = {"train": svg.BLUE, "validation": svg.AMBER}
    others = (svg.BLUE, svg.TEAL, svg.AMBER, svg.RED)
    for place, (name, steps, values) in enumerate(lines):
        _draw_line(axes, steps, values, name, colors.get(name, others[place]))
    svg.set_labels(axes, "step", "")
    svg.add_legend(axes)
    return Chart(title, svg.to_svg(figure, f"{title} over training"), note)


def _draw_line(
    axes: Axes, steps: np.ndarray, values: np.ndarray, name: str, color: str
) -> None:
    # Few points, as of validation, would hardly be seen as a line.
    marker = "o" if len(steps) < 12 else None
    axes.plot(
        steps,
        values,
        color=color,
        linewidth=1.6,
        marker=marker,
        markersize=3.5,
        label=name or None,
    )


def _attention_chart(rows: Sequence[Mapping]) -> Chart | None:
    curves = {
        percent: _curve(rows, "network", f"attention/percent_{percent}")
        for percent in (25, 50, 75)
    }
    steps, median = curves[50]
    if not len(steps):
        return None
    figure, axes = svg.new_axes(*_CURVE_SIZE)
    low, high = curves[25], curves[75]
    if len(low[0]) == len(high[0]) == len(steps):
        axes.fill_between(
            steps, low[1], high[1], color=svg.TEAL, alpha=0.22, linewidth=0,
            label="25th to 75th percentile",
        )  # fmt: skip
    _draw_line(axes, steps, median, "median", svg.TEAL)
    _draw_line(
        axes, *_curve(rows, "network", "attention/mean"), "mean", svg.AMBER
    )
    svg.set_labels(axes, "step", "")
    svg.add_legend(axes)
    return Chart(
        "Attention scores",
        svg.to_svg(figure, "Percentiles of the attention scores over training"),
        "The spread shows how much the network tells places apart.",
    )


def _curve(
    rows: Sequence[Mapping], kind: str, key: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns steps and values of one figure."""
    found = [
        (row["step"], _number(row[key]))
        for row in rows
        if row.get("kind") == kind and "step" in row and key in row
    ]
    points = np.array(found, np.float64).reshape(-1, 2)
    return points[:, 0], points[:, 1]


def _median(values: np.ndarray) -> str:
    return f"{np.median(values):.0f}" if len(values) else "–"


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
