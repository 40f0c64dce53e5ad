"""What differs in how runs were made."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from delg_tf.evaluation.comparison.runs import Run

UNKNOWN = "not recorded"
# What decides the numbers comes first; times and places last.
_FIELDS = (
    "dataset",
    "protocol",
    "queries_cropped",
    "image_lists",
    "class_list",
    "model",
    "image_scales",
    "thresholds",
    "index",
    "verification",
    "details",
    "versions",
    "machine",
    "seconds",
    "started",
    "files",
)
_LONGEST = 60


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting of all runs.

    Attributes:
        name: of the field, e.g. "verification.seed".
        values: as text, one a run.
    """

    name: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether not all runs have the same."""
        return len(set(self.values)) > 1


def settings_of(runs: Sequence[Run]) -> list[Setting]:
    """Returns all settings, those that differ first."""
    tables = [_flat(run) for run in runs]
    names = dict.fromkeys(
        name for field in _FIELDS for table in tables for name in table
        if name.partition(".")[0] == field
    )  # fmt: skip
    settings = [
        Setting(name, tuple(table.get(name, UNKNOWN) for table in tables))
        for name in names
    ]
    # A stable sort.
    return sorted(settings, key=lambda setting: not setting.differs)


def _flat(run: Run) -> dict[str, str]:
    flat: dict[str, str] = {}
    for field in _FIELDS:
        _add(flat, field, getattr(run.record, field))
    return flat


def _add(flat: dict[str, str], name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            _add(flat, f"{name}.{key}", item)
    elif value is not None:
        flat[name] = _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    text = str(value)
    if len(text) <= _LONGEST:
        return text
    # Of paths the end tells them apart, of hashes any part.
    return f"…{text[1 - _LONGEST :]}" if "/" in text else f"{text[:12]}…"
