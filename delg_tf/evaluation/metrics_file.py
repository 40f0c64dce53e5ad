"""Metrics on disk: the official `metrics.txt`, and `metrics.json`."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import (
    PathLike,
    atomic_write,
    existing_file,
    refuse_existing,
    write_json,
)
from delg_tf.evaluation.pairs import PairMetrics
from delg_tf.evaluation.revisited import ProtocolMetrics

_LINES_A_PROTOCOL = 4
_MEAN_AP = re.compile(r"  mAP=(\S+)")


def write_metrics_text(
    path: PathLike,
    metrics: Mapping[str, ProtocolMetrics],
    overwrite: bool = False,
) -> None:
    """Writes the official metrics file.

    For each protocol, in alphabetical order, four lines: its name, mAP, mP@k
    and mR@k; in percent, two decimals.

    Args:
        path: the file to write.
        metrics: by protocol; all with the same k.
        overwrite: whether the file may exist.

    Raises:
        InputError: the file exists and may not be replaced.
    """
    refuse_existing(path, overwrite)
    with atomic_write(path, "w") as file:
        for protocol, values in sorted(metrics.items()):
            file.write(f"{protocol}\n  mAP={np.around(values['mAP'], 2)}\n")
            for name in ("mP@k", "mR@k"):
                file.write(f"  {name}{_text_of(values[name])}\n")


def read_metrics_text(path: PathLike) -> dict[str, dict[str, Any]]:
    """Reads an official metrics file.

    Returns:
        For each protocol `mAP` (percent), `mP@k` and `mR@k` (percent by k).

    Raises:
        InputError: the file is missing or malformed.
    """
    path = existing_file(path, "metrics file")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text file: {error}") from error
    if not lines or len(lines) % _LINES_A_PROTOCOL:
        raise InputError(
            f"{path}: {len(lines)} lines, but there must be "
            f"{_LINES_A_PROTOCOL} a protocol."
        )
    metrics, cutoffs = {}, None
    for start in range(0, len(lines), _LINES_A_PROTOCOL):
        protocol = lines[start]
        if protocol in metrics:
            raise InputError(
                f"{path}, line {start + 1}: {protocol} comes twice."
            )
        values = {
            "mAP": _parse_mean(lines[start + 1], f"{path}, line {start + 2}")
        }
        for offset, name in ((2, "mP@k"), (3, "mR@k")):
            where = f"{path}, line {start + offset + 1}"
            values[name] = _parse_values(lines[start + offset], name, where)
            cutoffs = list(values[name]) if cutoffs is None else cutoffs
            if list(values[name]) != cutoffs:
                raise InputError(f"{where}: other k than before, {cutoffs}.")
        metrics[protocol] = values
    return metrics


def write_pair_metrics_json(
    path: PathLike,
    metrics: PairMetrics,
    details: Mapping[str, Any],
    overwrite: bool = False,
) -> None:
    """Writes what pairs of images have given; shares in percent.

    Args:
        path: the file to write.
        metrics: as `evaluate_pairs` returns them.
        details: what the numbers depend on, e.g. files and thresholds.
        overwrite: whether the file may exist.

    Raises:
        InputError: the file exists and may not be replaced.
    """
    refuse_existing(path, overwrite)
    content = {
        "metrics": {
            "average_precision": 100 * metrics.average_precision,
            "chance": 100 * metrics.chance,
            "pairs": metrics.num_pairs,
            "matching_pairs": metrics.num_matching,
            "damaged_files": list(metrics.problems),
        },
        "details": dict(details),
    }
    write_json(path, content)


def _text_of(values: Mapping[int, float]) -> str:
    """Returns cutoffs and values as NumPy prints them, on one line."""
    columns = (np.array(list(values)), np.around(list(values.values()), 2))
    return " ".join(
        np.array2string(column, max_line_width=np.inf, threshold=np.inf)
        for column in columns
    )


def _parse_mean(line: str, where: str) -> float:
    match = _MEAN_AP.fullmatch(line)
    try:
        return float(match.group(1))
    except (AttributeError, ValueError) as error:
        raise InputError(
            f"{where}: expected '  mAP=<number>', got {line!r}."
        ) from error


def _parse_values(line: str, name: str, where: str) -> dict[int, float]:
    match = re.fullmatch(rf"  {re.escape(name)}\[([^\]]*)\] \[([^\]]*)\]", line)
    try:
        cutoffs = [int(item) for item in match.group(1).split()]
        values = [float(item) for item in match.group(2).split()]
        return dict(zip(cutoffs, values, strict=True))
    except (AttributeError, ValueError) as error:
        raise InputError(
            f"{where}: expected '  {name}[k ...] [number ...]', got {line!r}."
        ) from error
