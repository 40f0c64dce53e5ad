"""Which runs are compared, and whether they may be."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.evaluation.record import PER_QUERY, RunRecord, read_record

FILE_NAME = "metrics.json"


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """An evaluation.

    Attributes:
        name: what it is called in tables.
        record: its results and settings.
    """

    name: str
    record: RunRecord


def read_runs(
    paths: Sequence[PathLike], names: Sequence[str] | None = None
) -> list[Run]:
    """Reads records.

    Args:
        paths: two or more folders with a `metrics.json`, or such files.
        names: what runs are called; None: as their folders, with as much of
            the path as it takes to tell them apart.

    Raises:
        InputError: a record is missing or malformed, there are fewer than
            two, or names do not tell them apart.
    """
    if len(paths) < 2:
        raise InputError("Give at least two runs to compare.")
    files = [pathlib.Path(os.path.abspath(path)) for path in paths]
    files = [file / FILE_NAME if file.is_dir() else file for file in files]
    if names is None:
        names = _short_names(files)
    if len(names) != len(files) or len(set(names)) != len(names):
        raise InputError(
            f"{len(files)} runs need as many different names, not "
            f"{', '.join(names)}."
        )
    return [Run(name, read_record(f)) for name, f in zip(names, files)]


def _short_names(files: Sequence[pathlib.Path]) -> list[str]:
    """The last parts of each path, as many as make all different."""
    if len(set(files)) != len(files):
        raise InputError(
            f"One run is given twice: {', '.join(map(str, files))}."
        )
    parts = [
        (file.parent if file.name == FILE_NAME else file).parts
        for file in files
    ]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return names


def query_names(runs: Sequence[Run]) -> list[str]:
    """Returns the queries of the first run that has names, or numbers."""
    for run in runs:
        if run.record.query_names is not None:
            return list(run.record.query_names)
    count = max((_count(run.record) or 0) for run in runs)
    return [f"query {number + 1}" for number in range(count)]


def why_not_comparable(runs: Sequence[Run]) -> list[str]:
    """Returns what forbids to compare runs with the first one, in words.

    That is another data set, protocol, list of images, or crop: their numbers
    are then of another task. What a run does not say is no reason;
    `what_is_open` names it.
    """
    reasons = []
    first = runs[0].record
    for run in runs[1:]:
        record = run.record
        pair = f"{runs[0].name} and {run.name}"
        for what, one, other in (
            ("data sets", first.dataset, record.dataset),
            ("protocols", first.protocol, record.protocol),
            (
                "lists of index images",
                _list(first, "index"),
                _list(record, "index"),
            ),
        ):
            if None not in (one, other) and one != other:
                reasons.append(f"{pair} have other {what}: {one}, {other}.")
        if not _same_queries(first, record):
            reasons.append(f"{pair} have other queries.")
        crops = (first.queries_cropped, record.queries_cropped)
        if set(crops) == {True, False}:
            cropped = run.name if record.queries_cropped else runs[0].name
            reasons.append(
                f"Of {pair} only {cropped} has queries cropped to their boxes."
            )
    return reasons


def what_is_open(runs: Sequence[Run]) -> list[str]:
    """Returns what a reader has to keep in mind, in words."""
    notes = []

    def note(what: str, values: list[Any]) -> None:
        unknown = [run.name for run, v in zip(runs, values) if v is None]
        if unknown:
            notes.append(f"Not recorded: {what} of {', '.join(unknown)}.")

    records = [run.record for run in runs]
    note("whether queries were cropped", [r.queries_cropped for r in records])
    note("the class list of the training", [r.class_list for r in records])
    note("the lists of images", [r.image_lists for r in records])
    note("the names of the queries, which are matched by their order,",
         [r.query_names for r in records])  # fmt: skip
    lists = {
        (r.class_list.get("name"), r.class_list.get("sha256"))
        for r in records
        if r.class_list
    }
    if len(lists) > 1:
        notes.append(
            "Trainings had other lists of classes; GLDv2-clean has landmarks "
            "of Revisited Oxford and Paris in it, RGLDv2-clean has not."
        )
    return notes


def _list(record: RunRecord, name: str) -> str | None:
    found = (record.image_lists or {}).get(name) or {}
    if found.get("sha256") is None:
        return None
    return f"{found.get('count')} images, SHA-256 {found['sha256'][:12]}"


def _same_queries(first: RunRecord, other: RunRecord) -> bool:
    """Whether values can be matched; the order does not matter."""
    if None not in (first.query_names, other.query_names):
        return sorted(first.query_names) == sorted(other.query_names)
    counts = (_count(first), _count(other))
    return None in counts or counts[0] == counts[1]


def _count(record: RunRecord) -> int | None:
    """Number of queries that values are listed of."""
    if record.query_names is not None:
        return len(record.query_names)
    for values in record.metrics.values():
        if (listed := values.get(PER_QUERY["mAP"])) is not None:
            return len(listed)
    return None
