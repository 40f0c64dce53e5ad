"""Tables of the report: times, versions and settings."""

import dataclasses
import importlib.metadata
import math
import platform
from collections.abc import Mapping
from typing import Any

import delg_tf
from delg_tf.report.text import duration

_PACKAGES = (
    "tensorflow", "tf_keras", "numpy", "faiss-cpu", "opencv-python-headless",
)  # fmt: skip
_LONGEST_TEXT = 160


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
