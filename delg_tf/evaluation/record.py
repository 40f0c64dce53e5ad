"""`metrics.json`: results, and all that they depend on."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from delg_tf.common.errors import InputError
from delg_tf.common.files import (
    PathLike,
    read_json,
    refuse_existing,
    write_json,
)
from delg_tf.evaluation.json_values import metric_from_json, to_json

# Files of version 1 have `metrics` and `details` and no version.
FORMAT_VERSION = 2
# What per-query values are called, by the mean that is taken of them.
PER_QUERY = {
    "mAP": "per_query_ap",
    "mP@k": "per_query_p@k",
    "mR@k": "per_query_r@k",
}
_VERSION = "format_version"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What came out of an evaluation, and how.

    What is not known is None. Nothing is guessed: a wrong record is worse
    than an incomplete one.

    Attributes:
        metrics: by protocol ("medium", "medium_after_gv", ...). Means under
            the keys of `PER_QUERY` (those with k by k), in percent; values of
            each query under its values, in the order of `query_names`, NaN
            for a query that does not count; `intervals`: confidence intervals
            of the means. Other numbers may be there.
        details: what only this kind of run has, as JSON holds it.
        dataset: "roxford5k", "gldv2", ... or the name of a user's own.
        protocol: what defines the metrics: "revisited", "oxford",
            "landmark_retrieval", "landmark_recognition".
        queries_cropped: whether queries were cut to their boxes before
            extraction, as Revisited Oxford and Paris demand.
        image_scales: of the pyramid.
        thresholds: of extraction and of matching, by name.
        class_list: of the training: `name` ("GLDv2-clean", "RGLDv2-clean",
            "other"), `num_classes` and more (`data.class_list`).
        model: `path`, `sha256` of the exported folder (`hash_of_folder`) and
            what the export says about itself.
        index: how the index was built and searched.
        verification: settings of re-ranking, with `backend`, `iterations`
            and `seed` of RANSAC; None without re-ranking.
        query_names: of the queries that values are listed of.
        image_lists: for "queries" and "index": `count`, and `sha256` of the
            names in their order (`hash_of_names`).
        seconds: wall time by stage.
        started: when, UTC, ISO 8601.
        versions: of libraries; see `library_versions`.
        machine: see `provenance.machine`.
        files: where the parts lay, for who wants to look at them:
            `ground_truth`, `images_dir`, `search_results` (ranked lists).
    """

    metrics: Mapping[str, Mapping[str, Any]]
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    dataset: str | None = None
    protocol: str | None = None
    queries_cropped: bool | None = None
    image_scales: Sequence[float] | None = None
    thresholds: Mapping[str, float | None] | None = None
    class_list: Mapping[str, Any] | None = None
    model: Mapping[str, Any] | None = None
    index: Mapping[str, Any] | None = None
    verification: Mapping[str, Any] | None = None
    query_names: Sequence[str] | None = None
    image_lists: Mapping[str, Mapping[str, Any]] | None = None
    seconds: Mapping[str, float] | None = None
    started: str | None = None
    versions: Mapping[str, str | None] | None = None
    machine: Mapping[str, Any] | None = None
    files: Mapping[str, str | None] | None = None

    def __post_init__(self) -> None:
        for protocol, values in self.metrics.items():
            for name in PER_QUERY.values():
                self._check_length(f"{protocol}.{name}", values.get(name))

    def _check_length(self, name: str, values: Any) -> None:
        """Raises ValueError unless there is a value a query."""
        if values is None or self.query_names is None:
            return
        lists = values.values() if isinstance(values, Mapping) else [values]
        for numbers in lists:
            if len(numbers) != len(self.query_names):
                raise ValueError(
                    f"`metrics` must list a value for each of the "
                    f"{len(self.query_names)} queries. Received: "
                    f"{len(numbers)} of {name}"
                )


def write_record(
    path: PathLike, record: RunRecord, overwrite: bool = False
) -> None:
    """Writes a record as JSON; NaN becomes null, as what is not known.

    Args:
        path: the file to write.
        record: the results.
        overwrite: whether the file may exist.

    Raises:
        InputError: the file exists and may not be replaced.
    """
    refuse_existing(path, overwrite)
    # Not `asdict`, which copies all values first.
    content = {
        field.name: getattr(record, field.name)
        for field in dataclasses.fields(record)
    }
    write_json(path, to_json({_VERSION: FORMAT_VERSION, **content}))


def read_record(path: PathLike) -> RunRecord:
    """Reads a `metrics.json`, also one of before there were records.

    Args:
        path: the file.

    Returns:
        The record; null in metrics is NaN, k of precision and recall are
        integers again. Fields that the file lacks are None.

    Raises:
        InputError: the file is missing or malformed, holds other metrics, or
            is of a later version; the message names file and field.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not _is_by_protocol(content):
        raise InputError(
            f"{path} holds no metrics by protocol (`metrics`, as "
            "tools/evaluate_retrieval.py writes them)."
        )
    version = content.get(_VERSION, 1)
    if type(version) is not int or version < 1:
        raise InputError(f"{path}: {_VERSION} is {version!r}.")
    if version > FORMAT_VERSION:
        raise InputError(
            f"{path} is of format version {version}; this delg-tf reads up "
            f"to {FORMAT_VERSION}. Use a later one."
        )
    values = {
        field.name: content.get(field.name)
        for field in dataclasses.fields(RunRecord)
    }
    values["details"] = values["details"] or {}
    for name, kind in _KINDS.items():
        if values[name] is not None and not isinstance(values[name], kind):
            raise InputError(
                f"{path}: {name} must be of type {kind.__name__} or null, but "
                f"is {str(values[name])[:60]!r}."
            )
    values["metrics"] = {
        protocol: _read_metrics(f"{path}: metrics.{protocol}", numbers)
        for protocol, numbers in content["metrics"].items()
    }
    try:
        return RunRecord(**values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error}") from error


_KINDS = {
    "details": dict,
    "dataset": str,
    "protocol": str,
    "queries_cropped": bool,
    "image_scales": list,
    "thresholds": dict,
    "class_list": dict,
    "model": dict,
    "index": dict,
    "verification": dict,
    "query_names": list,
    "image_lists": dict,
    "seconds": dict,
    "started": str,
    "versions": dict,
    "machine": dict,
    "files": dict,
}


def _is_by_protocol(content: dict[str, Any]) -> bool:
    metrics = content.get("metrics")
    return isinstance(metrics, dict) and all(
        isinstance(values, dict) for values in metrics.values()
    )


def _read_metrics(where: str, values: dict[str, Any]) -> dict[str, Any]:
    read = {}
    for name, value in values.items():
        try:
            read[name] = metric_from_json(value)
        except TypeError as error:
            raise InputError(f"{where}.{name}: {error}") from error
    return read
