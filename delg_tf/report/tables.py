"""Tables of the report: results, times, versions and settings."""

import dataclasses
import importlib.metadata
import math
import platform
from collections.abc import Mapping
from typing import Any

import delg_tf
from delg_tf.data.revisited import PROTOCOLS, RevisitedGroundTruth
from delg_tf.evaluation.revisited import evaluate
from delg_tf.retrieval.results import SearchResults

RANKINGS = {
    "untrained": "Untrained network",
    "global": "Trained, global descriptor",
    "reranked": "Re-ranked by inliers",
}
# For legends.
_SHORT = {"untrained": "untrained", "global": "global", "reranked": "re-ranked"}
# Shown elsewhere on the page than among the settings.
_SHOWN = ("held_out", "seconds", "images_per_second")
_PACKAGES = (
    "tensorflow", "tf_keras", "numpy", "faiss-cpu", "opencv-python-headless",
)  # fmt: skip
_LONGEST_TEXT = 160


@dataclasses.dataclass(frozen=True)
class ResultRow:
    """One line of the table of results.

    Attributes:
        name: of the ranking.
        short_name: for legends.
        cells: mAP for each protocol as text.
        best: for each protocol whether it is the highest of its column.
        values: mAP in percent by protocol.
    """

    name: str
    short_name: str
    cells: list[str]
    best: list[bool]
    values: Mapping[str, float | None]


def result_rows(held_out: Mapping[str, Mapping]) -> list[ResultRow]:
    """Returns the table of mAP, rankings in the order of `RANKINGS`."""
    keys = [key for key in RANKINGS if held_out.get(key)]
    columns = {
        protocol: [_number(held_out[key].get(protocol)) for key in keys]
        for protocol in PROTOCOLS
    }
    highest = {
        protocol: max((v for v in values if not math.isnan(v)), default=None)
        for protocol, values in columns.items()
    }
    return [
        ResultRow(
            name=RANKINGS[key],
            short_name=_SHORT[key],
            cells=[percent(columns[p][row]) for p in PROTOCOLS],
            best=[columns[p][row] == highest[p] for p in PROTOCOLS],
            values=held_out[key],
        )
        for row, key in enumerate(keys)
    ]


def measured_results(
    ground_truth: RevisitedGroundTruth,
    global_results: SearchResults,
    reranked_results: SearchResults,
) -> dict[str, dict[str, float]]:
    """Evaluates search results, where the metrics do not have them."""
    return {
        key: {
            protocol: values["mAP"]
            for protocol, values in evaluate(
                results, ground_truth, (1,)
            ).items()
        }
        for key, results in (
            ("global", global_results),
            ("reranked", reranked_results),
        )
    }


def percent(value: float | None) -> str:
    """Returns a number of percent with one decimal, or a dash."""
    number = _number(value)
    return "–" if math.isnan(number) else f"{number:.1f}"


@dataclasses.dataclass(frozen=True)
class TimeRow:
    """Time of one stage.

    Attributes:
        name: of the stage.
        text: its time, for people.
        share: percent of the longest stage's time.
        rate: images a second as text, or "".
    """

    name: str
    text: str
    share: float
    rate: str


def numbers_of(values: Mapping[str, Any] | None) -> dict[str, float]:
    """Returns the entries that are numbers, where there are any."""
    return {
        key: float(value)
        for key, value in (values or {}).items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def time_rows(
    seconds: Mapping[str, float], rates: Mapping[str, float]
) -> list[TimeRow]:
    """Returns the time of each stage, in the order of the stages."""
    longest = max([*seconds.values(), 1e-9])
    return [
        TimeRow(
            name=_words(stage),
            text=duration(value),
            share=100 * value / longest,
            rate=f"{rates[stage]:,.0f} images/s" if stage in rates else "",
        )
        for stage, value in seconds.items()
    ]


def duration(seconds: float) -> str:
    """Returns a time in the units that people use."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s"


def versions() -> dict[str, str]:
    """Returns versions of Python and of the packages that matter."""
    found = {"delg-tf": delg_tf.__version__}
    found["Python"] = platform.python_version()
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            # Another build of the same library may be there.
            continue
    return found


def run_settings(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Returns what the metrics say beside results and times, as text."""
    return as_text(
        {key: value for key, value in metrics.items() if key not in _SHOWN}
    )


def as_text(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flattens nested settings into names and short texts."""
    flat = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= as_text(value, f"{name}.")
            continue
        text = f"{value:g}" if isinstance(value, float) else str(value)
        if len(text) > _LONGEST_TEXT:
            text = text[: _LONGEST_TEXT - 1] + "…"
        flat[name] = text
    return flat


def _words(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
