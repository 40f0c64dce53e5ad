"""The results of a study as `results.json`, `RESULTS.md` and charts."""

import os
import pathlib
import platform
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

import delg_tf
from delg_tf.common.files import atomic_write, read_json, write_json
from delg_tf.protos import study_pb2
from delg_tf.retrieval.text_table import markdown_table
from delg_tf.study import charts, scores

RUN_FILE = "run.json"
RESULTS_FILE = "RESULTS.md"
# Of an experiment, how it was run: everything but the scores.
_HOW = """
`{command}`

{note}Seeds: {seeds}. Minutes, all rows together: {minutes:.0f}. Machine: \
{machine}. delg-tf {delg_tf}, TensorFlow {tensorflow}, Python {python}.
"""


def write_run(
    output: pathlib.Path,
    measures: Sequence[int],
    seconds: dict[str, float],
    is_start_only: bool,
) -> None:
    """Keeps the scores of a finished run in its folder."""
    values = {} if is_start_only else scores.read_scores(output, measures)
    write_json(output / RUN_FILE, {"scores": values, "seconds": seconds})


def write_results(
    study: study_pb2.Study,
    output: pathlib.Path,
    seeds: Sequence[int],
    command: str,
    note: str = "",
) -> str:
    """Puts the runs that are done so far into one table.

    Args:
        study: which rows and columns.
        output: folder of `seed<n>/<variant>`; gets `results.json`,
            `RESULTS.md` and the charts.
        seeds: of the runs.
        command: that made them.
        note: a sentence on what the runs have in common.

    Returns:
        The table, as Markdown.
    """
    runs, seconds = _finished(study, output, seeds)
    names = scores.columns(tuple(study.measures))
    how = {
        "command": command,
        "seeds": list(seeds),
        "minutes": seconds / 60,
        "machine": _machine(),
        "delg_tf": delg_tf.__version__,
        "tensorflow": tf.__version__,
        "python": platform.python_version(),
    }
    rows = {
        title: [[run[name] for run in found] for name in names]
        for title, found in runs.items()
    }
    write_json(
        output / "results.json",
        {"title": study.title, "columns": names, "rows": rows} | how,
    )
    table = markdown_table(
        ["", *(f"{name}, %" for name in names)],
        [[title, *map(_cell, values)] for title, values in rows.items()],
    )
    pictures = _draw(study, output, seeds, names, rows)
    shown = {**how, "seeds": ", ".join(map(str, seeds))}
    note = f"{note} " if note else ""
    with atomic_write(output / RESULTS_FILE, "w") as file:
        file.write(
            f"# {study.title}: results\n\n{table}\n\n"
            + "\n".join(f"![{text}]({name})" for name, text in pictures.items())
            + f"\n{_HOW.format(note=note, **shown)}"
        )
    return table


def _finished(
    study: study_pb2.Study, output: pathlib.Path, seeds: Sequence[int]
) -> tuple[dict[str, list[dict[str, float]]], float]:
    """Scores by title of the row, one a seed; and seconds of all runs."""
    rows: dict[str, list[dict[str, float]]] = {}
    seconds = 0.0
    for variant in study.variants:
        for seed in seeds:
            path = run_folder(output, variant, seed) / RUN_FILE
            if not path.exists():
                continue
            run = read_json(path)
            seconds += sum(run["seconds"].values())
            if not variant.is_start_only:
                rows.setdefault(variant.title, []).append(run["scores"])
    return rows, seconds


def run_folder(
    output: pathlib.Path, variant: study_pb2.Variant, seed: int
) -> pathlib.Path:
    """Folder of one run."""
    return output / f"seed{seed}" / variant.name


def _draw(
    study: study_pb2.Study,
    output: pathlib.Path,
    seeds: Sequence[int],
    names: Sequence[str],
    rows: dict[str, list[list[float]]],
) -> dict[str, str]:
    """Draws the charts; returns what each file shows."""
    if not rows:
        return {}
    charts.draw_bars(
        output / "results.svg",
        list(rows),
        {
            name: [values[place] for values in rows.values()]
            for place, name in enumerate(names)
        },
    )
    pictures = {"results.svg": "The table as bars"}
    if study.curves:
        curves = {
            curve.title: {
                variant.title: [
                    scores.read_curve(run_folder(output, variant, seed), curve)
                    for seed in seeds
                ]
                for variant in study.variants
                if variant.title in rows
            }
            for curve in study.curves
        }
        charts.draw_curves(output / "curves.svg", curves)
        pictures["curves.svg"] = "Curves over training"
    return pictures


def _cell(values: Sequence[float]) -> str:
    """Mean of the seeds; from two on with half of their range."""
    mean = f"{np.mean(values):.1f}"
    if len(values) > 1:
        mean += f" ± {(max(values) - min(values)) / 2:.1f}"
    return mean


def _machine() -> str:
    """Processor and number of cores, or the GPUs."""
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    name = platform.processor() or platform.machine()
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return ", ".join([f"{os.cpu_count()} cores of {name}", *gpus])
