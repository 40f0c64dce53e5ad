"""Matplotlib figures as inline SVG that follows the page's colours."""

import hashlib
import io
import re

import markupsafe
import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Stand-ins that Matplotlib draws with; in the SVG each becomes a variable of
# the page's style sheet, which differs between light and dark mode.
INK = "#010101"
MUTED = "#010102"
GRID = "#010103"
SURFACE = "#010104"
GREY = "#010105"
BLUE = "#010106"
TEAL = "#010107"
AMBER = "#010108"
GREEN = "#010109"
RED = "#01010a"
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--line",
    SURFACE: "--surface",
    GREY: "--series-grey",
    BLUE: "--series-blue",
    TEAL: "--series-teal",
    AMBER: "--series-amber",
    GREEN: "--right",
    RED: "--wrong",
}
_FONT_SIZE = 9.5


def new_axes(width: float = 4.6, height: float = 2.7) -> tuple[Figure, Axes]:
    """Returns an empty figure of so many inches, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)
    axes.tick_params(
        colors=MUTED, labelsize=_FONT_SIZE - 0.5, color=GRID, length=3
    )
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    return figure, axes


def set_labels(axes: Axes, x: str, y: str) -> None:
    """Writes the titles of both axes."""
    axes.set_xlabel(x, color=MUTED, fontsize=_FONT_SIZE)
    axes.set_ylabel(y, color=MUTED, fontsize=_FONT_SIZE)


def add_legend(axes: Axes, columns: int = 4) -> None:
    """Puts a legend above the plot if something in it has a label."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            handles,
            labels,
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=columns,
            frameon=False,
            fontsize=_FONT_SIZE - 0.5,
            labelcolor=INK,
            borderaxespad=0.2,
            handlelength=1.4,
            columnspacing=1.2,
        )


def to_svg(figure: Figure, description: str) -> markupsafe.Markup:
    """Returns a figure as an SVG element for a page without a network.

    Args:
        figure: made by `new_axes`.
        description: what the chart shows, for those who do not see it; must
            differ between the charts of a page.
    """
    prefix = "c" + hashlib.sha256(description.encode()).hexdigest()[:8]
    buffer = io.StringIO()
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": prefix}
    ):
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")),
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    box = re.search(r'viewBox="([^"]+)"', text).group(1)
    label = markupsafe.escape(description)
    text = re.sub(
        r"^<svg[^>]*>",
        f'<svg viewBox="{box}" role="img" aria-label="{label}">',
        text,
    )
    # Ids are shared by all the charts of a page; HTML needs no xlink.
    text = text.replace("xlink:href", "href")
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    return markupsafe.Markup(text)
