"""Metrics as JSON holds them: no NaN, and keys are text."""

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np


def to_json(value: Any) -> Any:
    """Returns plain JSON values; NaN, which JSON does not have, is None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_json(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return to_json(value.tolist())
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value


def metric_from_json(value: Any) -> Any:
    """Reverses `to_json` for a metric: None is NaN, keys like "5" are k.

    Raises:
        TypeError: there is something else than numbers.
    """
    if value is None:
        return math.nan
    if isinstance(value, Mapping):
        return {
            int(key) if key.isdecimal() else key: metric_from_json(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [metric_from_json(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)
