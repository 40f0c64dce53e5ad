"""The record of an evaluation as tables of the report."""

from typing import Any

from delg_tf.evaluation.record import RunRecord
from delg_tf.matching.config import MatchingConfig

# Tables of their own; the rest is in the summary.
_PARTS = {
    "verification": "Geometric verification",
    "thresholds": "Thresholds",
    "class_list": "Class list of the training",
    "model": "Model",
    "index": "Index",
    "image_lists": "Lists of images",
    "seconds": "Seconds",
    "versions": "Versions",
    "machine": "Machine",
    "files": "Files",
    "details": "Details",
}
_UNKNOWN = "not recorded"


def record_facts(
    record: RunRecord, matching: MatchingConfig | None = None
) -> dict[str, str]:
    """Returns what decides what the figures are worth, for the summary.

    What is not known is said to be so: a reader is to see that it is open
    whether queries were cropped.

    Args:
        record: of the evaluation.
        matching: what verified pairs, where the record does not know it.
    """
    cropped = {True: "yes, to their boxes", False: "no", None: _UNKNOWN}
    model, classes = record.model or {}, record.class_list or {}
    facts = {
        "Data set": record.dataset,
        "Protocol": record.protocol,
        "Queries cropped": cropped[record.queries_cropped],
        "Image scales": record.image_scales
        and ", ".join(f"{scale:.4g}" for scale in record.image_scales),
        "Model, SHA-256": model.get("sha256"),
        "Classes of its training": classes.get("name"),
        "Geometric verification": _verification(record, matching),
        "Started": record.started,
    }
    return {name: str(value or _UNKNOWN) for name, value in facts.items()}


def record_settings(record: RunRecord) -> dict[str, dict[str, Any]]:
    """Returns all other settings that a record knows, by heading."""
    return {
        heading: {
            name: value
            for name, value in (getattr(record, field) or {}).items()
            if value is not None
        }
        for field, heading in _PARTS.items()
    }


def _verification(record: RunRecord, matching: MatchingConfig | None) -> str:
    if record.verification is None:
        return "none"
    found = []
    for key in ("backend", "seed"):
        value = record.verification.get(key)
        if value is None:
            value = getattr(matching, key, None)
        found.append(_UNKNOWN if value is None else value)
    return "RANSAC by {}, seed {}".format(*found)
