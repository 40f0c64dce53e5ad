"""What came out of runs: metrics, paired differences, queries."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.evaluation.comparison.runs import Run, query_names
from delg_tf.evaluation.metrics.significance import (
    PairedDifference,
    paired_difference,
)
from delg_tf.evaluation.record import PER_QUERY
from delg_tf.evaluation.revisited import AFTER_RERANKING

# Where some runs were re-ranked: what each gives in the end.
LAST = "_last"


@dataclasses.dataclass(frozen=True)
class Measure:
    """A metric of one protocol.

    Attributes:
        protocol: key of the metrics, e.g. "medium_after_gv".
        metric: key in it, e.g. "mAP" or "mP@k".
        k: of "mP@k"; None for others.
    """

    protocol: str
    metric: str
    k: int | str | None = None

    @property
    def name(self) -> str:
        """As tables have it, e.g. "mP@5"."""
        if self.k is None:
            return self.metric
        return self.metric.replace("@k", "") + f"@{self.k}"

    def of(self, metrics: Mapping[str, Any] | None) -> Any:
        """Returns its part of a mapping like a protocol's; None without."""
        found = (metrics or {}).get(self.metric)
        if self.k is None:
            return found
        return found.get(self.k) if isinstance(found, Mapping) else None


@dataclasses.dataclass(frozen=True)
class MetricRow:
    """A metric of all runs, in percent.

    Attributes:
        measure: which.
        values: one a run; NaN where a run has none.
        intervals: (low, high), or None.
        differences: from the first run, query by query; None for the first,
            and where there are no values of queries.
    """

    measure: Measure
    values: tuple[float, ...]
    intervals: tuple[tuple[float, float] | None, ...]
    differences: tuple[PairedDifference | None, ...]


@dataclasses.dataclass(frozen=True)
class QueryRow:
    """AP of one query in all runs, in percent.

    Attributes:
        name: of the query.
        values: one a run; NaN where it does not count.
        change: the largest difference from the first run, with its sign; NaN
            if there is none.
    """

    name: str
    values: tuple[float, ...]
    change: float


def protocols_of(runs: Sequence[Run]) -> list[str]:
    """Returns the keys of metrics.

    Where not all runs are re-ranked, what each gives in the end takes the
    place of re-ranked lists: see `LAST`.
    """
    keys = list(dict.fromkeys(k for run in runs for k in run.record.metrics))
    bases = [key for key in keys if not key.endswith(AFTER_RERANKING)]
    for base in bases:
        after = [base + AFTER_RERANKING in run.record.metrics for run in runs]
        if any(after) and not all(after):
            keys[keys.index(base + AFTER_RERANKING)] = base + LAST
    return keys


def values_of(run: Run, protocol: str) -> Mapping[str, Any]:
    """Returns the metrics of a protocol; empty if the run has none."""
    metrics = run.record.metrics
    if not protocol.endswith(LAST):
        return metrics.get(protocol, {})
    base = protocol.removesuffix(LAST)
    return metrics.get(base + AFTER_RERANKING) or metrics.get(base, {})


def metric_rows(
    runs: Sequence[Run], protocols: Sequence[str], tolerant: bool = False
) -> list[MetricRow]:
    """Returns all metrics of some protocols.

    Args:
        runs: the first is what others are compared with.
        protocols: of `protocols_of`.
        tolerant: whether queries that count in one run only are left out of
            differences; else they are refused.

    Raises:
        InputError: there are such queries.
    """
    return [
        _row(runs, measure, tolerant)
        for protocol in protocols
        for measure in _measures(runs, protocol)
    ]


def query_rows(runs: Sequence[Run], protocol: str) -> list[QueryRow]:
    """Returns AP query by query, those that changed most first.

    Args:
        runs: the first is what others are compared with.
        protocol: of `protocols_of`.
    """
    measure = Measure(protocol, "mAP")
    columns = [by_query(runs, run, measure) for run in runs]
    if columns[0] is None:
        return []
    rows = []
    for i, name in enumerate(query_names(runs)):
        values = [math.nan if c is None else float(c[i]) for c in columns]
        changes = [v - values[0] for v in values[1:]]
        changes = [c for c in changes if not math.isnan(c)]
        change = max(changes, key=abs, default=math.nan)
        rows.append(QueryRow(name, tuple(values), change))
    # NaN last; of equal changes in the order of the queries.
    return sorted(
        rows, key=lambda r: -abs(r.change) if r.change == r.change else 1
    )


def by_query(
    runs: Sequence[Run], run: Run, measure: Measure
) -> np.ndarray | None:
    """Returns a metric's values of queries in the order of `query_names`.

    Returns:
        float64 [Q], in percent; None if the run does not list them, or lists
        other queries.
    """
    listed = dataclasses.replace(
        measure, metric=PER_QUERY.get(measure.metric, "")
    ).of(values_of(run, measure.protocol))
    if listed is None:
        return None
    names = query_names(runs)
    own = run.record.query_names
    if own is None:
        return np.array(listed) if len(listed) == len(names) else None
    place = {name: i for i, name in enumerate(own)}
    if not place.keys() >= set(names):
        return None
    return np.array([listed[place[name]] for name in names], np.float64)


def _measures(runs: Sequence[Run], protocol: str) -> list[Measure]:
    """What any run has measured: numbers, and numbers by k."""
    found: dict[Measure, None] = {}
    for run in runs:
        for metric, value in values_of(run, protocol).items():
            if isinstance(value, float):
                found[Measure(protocol, metric)] = None
            elif isinstance(value, Mapping) and metric not in (
                "intervals",
                *PER_QUERY.values(),
            ):
                for k, item in value.items():
                    if isinstance(item, float):
                        found[Measure(protocol, metric, k)] = None
    return list(found)


def _row(runs: Sequence[Run], measure: Measure, tolerant: bool) -> MetricRow:
    values, intervals, columns = [], [], []
    for run in runs:
        metrics = values_of(run, measure.protocol)
        value = measure.of(metrics)
        values.append(math.nan if value is None else value)
        interval = measure.of(metrics.get("intervals"))
        intervals.append(interval and (interval["low"], interval["high"]))
        columns.append(by_query(runs, run, measure))
    differences = [None]
    for run, column in zip(runs[1:], columns[1:]):
        if column is None or columns[0] is None:
            differences.append(None)
            continue
        first, second = columns[0], column
        one_sided = np.isnan(first) != np.isnan(second)
        if one_sided.any() and not tolerant:
            name = query_names(runs)[np.flatnonzero(one_sided)[0]]
            raise InputError(
                f"{measure.protocol}, {measure.name}: {one_sided.sum()} "
                f"queries, the first is {name}, have right images in one of "
                f"{runs[0].name} and {run.name} only: they were judged by "
                "other ground truth. --force leaves these queries out."
            )
        keep = ~one_sided
        differences.append(paired_difference(first[keep], second[keep]))
    return MetricRow(
        measure, tuple(values), tuple(intervals), tuple(differences)
    )
