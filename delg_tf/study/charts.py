"""Charts of a study, as SVG files."""

import math
import pathlib
from collections.abc import Mapping, Sequence

from delg_tf.report import svg
from delg_tf.study.scores import Curve

_COLORS = (svg.RED, svg.BLUE, svg.TEAL, svg.AMBER, svg.GREY, svg.INK)
_STYLES = ("-", "--", ":", "-.")


def draw_bars(
    path: pathlib.Path,
    titles: Sequence[str],
    columns: Mapping[str, Sequence[Sequence[float]]],
) -> None:
    """Draws a panel a column, a bar a row, a dot a seed.

    Args:
        path: of the SVG file; replaced if it is there.
        titles: R names of the rows.
        columns: by name, R lists of one value a seed, in percent.
    """
    figure, panels = svg.new_row(
        len(columns), 2.6 + 2.0 * len(columns), 0.8 + 0.32 * len(titles)
    )
    for panel, (axes, (name, rows)) in enumerate(zip(panels, columns.items())):
        means = [sum(row) / len(row) for row in rows]
        axes.barh(range(len(rows)), means, color=svg.BLUE, height=0.62)
        for place, (row, mean) in enumerate(zip(rows, means)):
            if len(row) > 1:
                axes.plot(row, [place] * len(row), ".", color=svg.INK, ms=4)
            axes.annotate(
                "–" if math.isnan(mean) else f"{mean:.1f}",
                (max(0, *row) if row else 0, place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
                color=svg.INK,
            )
        axes.set_yticks(
            range(len(rows)), titles if not panel else [""] * len(rows)
        )
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0, 1.25 * max(1, *(max(row) for row in rows)))
        svg.set_labels(axes, f"{name}, %", "")
    svg.write_svg(path, figure, "Bars of the table's figures", overwrite=True)


def draw_curves(
    path: pathlib.Path,
    charts: Mapping[str, Mapping[str, Sequence[Curve]]],
) -> None:
    """Draws a panel a chart, a line a run.

    Args:
        path: of the SVG file; replaced if it is there.
        charts: by title, for each row its curves, one a seed.
    """
    figure, panels = svg.new_row(len(charts), 4.6 * len(charts), 3.4)
    for axes, (title, rows) in zip(panels, charts.items()):
        for place, (name, curves) in enumerate(rows.items()):
            for seed, curve in enumerate(curves):
                axes.plot(
                    [step for step, _ in curve],
                    [value for _, value in curve],
                    color=_COLORS[place % len(_COLORS)],
                    linestyle=_STYLES[place // len(_COLORS) % len(_STYLES)],
                    linewidth=1.5,
                    label=None if seed else name,
                )
        svg.set_labels(axes, "step", title)
        svg.add_legend(axes, 2)
    svg.write_svg(path, figure, "Curves over training", overwrite=True)
