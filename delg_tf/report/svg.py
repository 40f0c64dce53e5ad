"""Matplotlib figures as SVG: inline, in the page's colours, or as files."""

import hashlib
import io
import re

import markupsafe
import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from delg_tf.common.files import PathLike, atomic_write, refuse_existing

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
# A file has no style sheet: the light mode's colours.
_COLORS = {
    INK: "#1d2327",
    MUTED: "#667077",
    GRID: "#e3e1da",
    SURFACE: "#ffffff",
    GREY: "#a9b0b5",
    BLUE: "#4a78b5",
    TEAL: "#12867f",
    AMBER: "#c98516",
    GREEN: "#1b7f4a",
    RED: "#c23b2e",
}
_FONT_SIZE = 9.5


def new_axes(width: float = 4.6, height: float = 2.7) -> tuple[Figure, Axes]:
    """Returns an empty figure of so many inches, and its axes."""
    figure, (axes,) = new_row(1, width, height)
    return figure, axes


def new_row(
    count: int, width: float, height: float
) -> tuple[Figure, list[Axes]]:
    """Returns an empty figure of so many inches, and axes side by side."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    row = list(figure.subplots(1, count, squeeze=False)[0])
    for axes in row:
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(GRID)
        axes.tick_params(
            colors=MUTED, labelsize=_FONT_SIZE - 0.5, color=GRID, length=3
        )
        axes.grid(axis="y", color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
    return figure, row


def set_labels(axes: Axes, x: str, y: str) -> None:
    """Writes the titles of both axes."""
    axes.set_xlabel(x, color=MUTED, fontsize=_FONT_SIZE)
    axes.set_ylabel(y, color=MUTED, fontsize=_FONT_SIZE)


def add_legend(
    axes: Axes, columns: int = 4, entries: tuple[list, list] | None = None
) -> None:
    """Puts a legend above the plot if something in it has a label.

    Args:
        axes: of the plot.
        columns: entries in a row.
        entries: handles and labels in another order than they were drawn.
    """
    handles, labels = entries or axes.get_legend_handles_labels()
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
        figure: made by `new_axes` or `new_row`.
        description: what the chart shows, for those who do not see it; must
            differ between the charts of a page.
    """
    prefix = "c" + hashlib.sha256(description.encode()).hexdigest()[:8]
    text = _render(figure, prefix, transparent=True)
    text = text[text.index("<svg") :]
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


def write_svg(
    path: PathLike, figure: Figure, description: str, overwrite: bool = False
) -> None:
    """Writes a figure as a file of its own, on white.

    Args:
        path: the file to write.
        figure: made by `new_axes` or `new_row`.
        description: what the chart shows, for those who do not see it.
        overwrite: whether the file may exist.

    Raises:
        InputError: the file exists and may not be replaced.
    """
    refuse_existing(path, overwrite)
    figure.set_facecolor(SURFACE)
    text = _render(figure, "delg", transparent=False)
    label = markupsafe.escape(description)
    text = text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    for stand_in, color in _COLORS.items():
        text = text.replace(stand_in, color)
    with atomic_write(path, "w") as file:
        file.write(text)


def _render(figure: Figure, salt: str, transparent: bool) -> str:
    """Returns a whole SVG document, the same for the same figure."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(
            buffer,
            format="svg",
            transparent=transparent,
            metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")),
        )
    return re.sub(
        r"<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL
    )
