"""Measured times as a table, `metrics.json` and a chart."""

import dataclasses
import pathlib
from collections.abc import Sequence

from delg_tf.common.files import refuse_existing, write_json
from delg_tf.latency.measure import LatencyOptions, LatencyRow
from delg_tf.report import svg
from delg_tf.retrieval.text_table import markdown_table

METRICS_FILE, CHART_FILE = "metrics.json", "latency.svg"
_COLORS = (svg.GREY, svg.BLUE, svg.TEAL, svg.AMBER, svg.RED, svg.GREEN)


def latency_table(rows: Sequence[LatencyRow], peak: float) -> str:
    """Returns the rows as Markdown.

    Args:
        rows: as `measure` gives them.
        peak: operations a second of the machine's matrix products.
    """
    header = [
        "backbone",
        "runtime",
        "precision",
        "features",
        "ms an image",
        "images/s",
        "GFLOP",
        "share of peak",
        "kB an image",
        "GB for 1 M",
    ]
    lines = []
    for row in rows:
        seconds = row.milliseconds / 1000
        lines.append(
            [
                row.backbone,
                row.runtime,
                row.precision,
                row.case,
                f"{row.milliseconds:.0f}",
                f"{1 / seconds:.2f}",
                f"{row.gflop:.0f}",
                f"{row.gflop * 1e9 / seconds / peak:.2f}",
                f"{row.bytes_per_image / 1e3:.0f}",
                f"{row.bytes_per_image / 1e3:.1f}",
            ]
        )
    return markdown_table(header, lines)


def write_latency(
    output: pathlib.Path,
    rows: Sequence[LatencyRow],
    options: LatencyOptions,
    peak: float,
    overwrite: bool = False,
) -> None:
    """Writes `metrics.json` and the chart.

    Raises:
        InputError: they exist and may not be replaced.
    """
    for name in (METRICS_FILE, CHART_FILE):
        refuse_existing(output / name, overwrite)
    output.mkdir(parents=True, exist_ok=True)
    write_json(
        output / METRICS_FILE,
        {
            "rows": [dataclasses.asdict(row) for row in rows],
            "options": dataclasses.asdict(options),
            "peak_gflops": peak / 1e9,
        },
    )
    _draw(output / CHART_FILE, rows)


def _draw(path: pathlib.Path, rows: Sequence[LatencyRow]) -> None:
    """A panel a backbone, a group of bars a case, a bar a runtime."""
    backbones = list(dict.fromkeys(row.backbone for row in rows))
    cases = list(dict.fromkeys(row.case for row in rows))
    ways = list(dict.fromkeys((row.runtime, row.precision) for row in rows))
    figure, panels = svg.new_row(
        len(backbones),
        5.6 * len(backbones),
        1.2 + 0.16 * len(cases) * (1 + len(ways)),
    )
    height = 0.8 / len(ways)
    for panel, (axes, backbone) in enumerate(zip(panels, backbones)):
        for place, way in enumerate(ways):
            found = {
                row.case: row.milliseconds
                for row in rows
                if (row.backbone, row.runtime, row.precision)
                == (backbone, *way)
            }
            shift = (place - (len(ways) - 1) / 2) * height
            bars = axes.barh(
                [i + shift for i in range(len(cases))],
                [found[case] for case in cases],
                0.92 * height,
                color=_COLORS[place % len(_COLORS)],
                label=", ".join(way),
            )
            axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=8)
        axes.set_yticks(
            range(len(cases)), [""] * len(cases) if panel else cases
        )
        axes.invert_yaxis()
        axes.margins(x=0.15)
        svg.set_labels(axes, f"{backbone}: ms an image", "")
        svg.add_legend(axes, 2)
    svg.write_svg(path, figure, "Milliseconds an image", overwrite=True)
