"""Confidence intervals of a run's means, beside the means."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from delg_tf.evaluation.metrics.uncertainty import bootstrap_interval
from delg_tf.evaluation.record import PER_QUERY


def with_intervals(
    metrics: Mapping[str, Mapping[str, Any]],
    level: float = 0.95,
    num_samples: int = 10000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Adds the interval of each mean that has its values by query.

    Args:
        metrics: by protocol, as a `RunRecord` has them.
        level: of the intervals, between 0 and 1.
        num_samples: of the bootstrap.
        seed: likewise.

    Returns:
        The same with `intervals` in each protocol: under a mean's key `low`,
        `high` and `level`, in the unit of the values; k by k for those with k.
    """

    def interval(values: Sequence[float]) -> dict[str, float]:
        found = bootstrap_interval(values, level, num_samples, seed)
        return dataclasses.asdict(found)

    def intervals(values: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for mean, name in PER_QUERY.items():
            by_query = values.get(name)
            if mean not in values or by_query is None:
                continue
            if isinstance(by_query, Mapping):
                found[mean] = {k: interval(v) for k, v in by_query.items()}
            else:
                found[mean] = interval(by_query)
        return found

    return {
        protocol: {**values, "intervals": intervals(values)}
        for protocol, values in metrics.items()
    }
