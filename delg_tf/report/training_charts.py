"""Charts of a training run."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from delg_tf.report import svg
from delg_tf.report.charts import Chart
from delg_tf.report.text import number_of

# Inches; narrower than others, as three stand side by side.
_CURVE_SIZE = (3.7, 2.4)


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
        (row["step"], number_of(row[key]))
        for row in rows
        if row.get("kind") == kind and "step" in row and key in row
    ]
    points = np.array(found, np.float64).reshape(-1, 2)
    return points[:, 0], points[:, 1]
