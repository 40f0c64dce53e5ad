"""Measures lists in the format of Google Landmarks, whoever made them."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.data.gldv2_csv import read_test_csv
from delg_tf.data.gldv2_solution import (
    Split,
    read_retrieval_predictions,
    read_retrieval_solution,
)
from delg_tf.evaluation.metrics.landmark_retrieval import (
    LandmarkRetrievalMetrics,
    evaluate_landmark_retrieval,
)
from delg_tf.evaluation.metrics.significance import (
    PairedDifference,
    paired_difference,
)
from delg_tf.evaluation.metrics.truncated import (
    DIVISORS,
    truncated_average_precisions,
)
from delg_tf.evaluation.metrics.uncertainty import Interval, bootstrap_interval
from delg_tf.retrieval.text_table import markdown_table

# The k of precision that tables show, as the official script prints them.
PRECISION_RANKS = (1, 5, 10, 50, 100)


@dataclasses.dataclass(frozen=True)
class MeasureOptions:
    """What is measured beside the protocol's own metrics.

    Attributes:
        map_ranks: k of further mAP@k.
        map_divisor: theirs, one of `metrics.truncated.DIVISORS`.
        level: of intervals.
        num_samples: draws of intervals and tests.
        seed: of the draws.
    """

    map_ranks: tuple[int, ...] = ()
    map_divisor: str = "limited"
    level: float = 0.95
    num_samples: int = 10000
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises InputError if a value is out of range."""
        for name, good, rule in (
            ("map_ranks", min(self.map_ranks, default=1) >= 1, "at least 1"),
            (
                "map_divisor",
                self.map_divisor in DIVISORS,
                f"one of {', '.join(DIVISORS)}",
            ),
            ("level", 0 < self.level < 1, "between 0 and 1"),
            ("num_samples", self.num_samples >= 1, "at least 1"),
            ("seed", self.seed >= 0, "at least 0"),
        ):
            if not good:
                raise InputError(
                    f"{name} must be {rule}, but is {getattr(self, name)}."
                )


@dataclasses.dataclass(frozen=True, eq=False)
class MeasuredLists:
    """What lists of one part of the queries have given, as fractions.

    Attributes:
        metrics: of the protocol.
        interval: of mAP@100.
        mean_at: further mAP@k by k.
        difference: of AP@100 from that of a baseline, if there is one.
    """

    metrics: LandmarkRetrievalMetrics
    interval: Interval
    mean_at: Mapping[int, float]
    difference: PairedDifference | None


def measure_files(
    predictions_path: PathLike,
    solution_path: PathLike,
    baseline_path: PathLike | None = None,
    index_path: PathLike | None = None,
    options: MeasureOptions | None = None,
) -> dict[str, MeasuredLists]:
    """Measures a file of predictions by a solution.

    Args:
        predictions_path: see `data.gldv2_solution`.
        solution_path: likewise.
        baseline_path: predictions of another run that it is compared with.
        index_path: CSV whose column id lists all index images, to check that
            predictions name no others; None: not checked.
        options: what else is measured.

    Returns:
        By part of the queries, public and private, those that there are.

    Raises:
        InputError: a file is missing or malformed; the message names file,
            line and field.
    """
    options = options or MeasureOptions()
    solution = read_retrieval_solution(solution_path)
    index_ids = None
    if index_path is not None:
        ids = read_test_csv(index_path).ids.tolist()
        index_ids = {image.decode() for image in ids}

    def read(path: PathLike) -> Split[tuple[str, ...]]:
        return read_retrieval_predictions(path, solution, index_ids)

    lists = read(predictions_path)
    baseline = None if baseline_path is None else read(baseline_path)
    return {
        part: _measure(
            getattr(lists, part),
            answers,
            None if baseline is None else getattr(baseline, part),
            options,
        )
        for part, answers in solution.parts().items()
    }


def _measure(
    lists: Mapping[str, Sequence[str]],
    solution: Mapping[str, frozenset[str]],
    baseline: Mapping[str, Sequence[str]] | None,
    options: MeasureOptions,
) -> MeasuredLists:
    metrics = evaluate_landmark_retrieval(lists, solution)
    draws = (options.level, options.num_samples, options.seed)
    mean_at = {
        k: float(
            np.mean(
                truncated_average_precisions(
                    [lists.get(query, ()) for query in solution],
                    list(solution.values()),
                    k,
                    options.map_divisor,
                )
            )
        )
        for k in options.map_ranks
    }
    difference = None
    if baseline is not None:
        first = evaluate_landmark_retrieval(baseline, solution)
        difference = paired_difference(
            first.average_precision, metrics.average_precision, *draws
        )
    return MeasuredLists(
        metrics,
        bootstrap_interval(metrics.average_precision, *draws),
        mean_at,
        difference,
    )


def measured_table(measured: Mapping[str, MeasuredLists]) -> str:
    """Returns a line a part as Markdown, metrics in percent."""
    rows = []
    for part, lists in measured.items():
        metrics, interval = lists.metrics, lists.interval
        row = {
            "queries": part,
            "number": str(metrics.num_queries),
            "mAP@100": _percent(metrics.mean_average_precision),
            f"{100 * interval.level:g}% interval": _range(interval),
        }
        row |= {f"mAP@{k}": _percent(v) for k, v in lists.mean_at.items()}
        row |= {
            f"P@{k}": _percent(metrics.precision_at[k - 1])
            for k in PRECISION_RANKS
        }
        row["first correct"] = f"{metrics.mean_first_correct:.2f}"
        row["median"] = f"{metrics.median_first_correct:g}"
        if lists.difference is not None:
            row["gain"] = _percent(lists.difference.mean)
            row["its interval"] = _range(lists.difference.interval)
            row["p"] = f"{lists.difference.p_value:.4f}"
        rows.append(row)
    return markdown_table(list(rows[0]), [list(row.values()) for row in rows])


def measured_json(measured: Mapping[str, MeasuredLists]) -> dict[str, Any]:
    """Returns the same with each query's AP, for JSON; NaN is null."""
    content = {}
    for part, lists in measured.items():
        metrics = lists.metrics
        content[part] = {
            "queries": metrics.num_queries,
            "mAP@100": _json(metrics.mean_average_precision),
            "interval": dataclasses.asdict(lists.interval),
            "mAP@k": {str(k): _json(v) for k, v in lists.mean_at.items()},
            "P@k": metrics.precision_at.tolist(),
            "mean_first_correct": _json(metrics.mean_first_correct),
            "median_first_correct": _json(metrics.median_first_correct),
            "difference": (
                None
                if lists.difference is None
                else dataclasses.asdict(lists.difference)
            ),
            "per_query_ap": dict(
                zip(metrics.query_ids, map(_json, metrics.average_precision))
            ),
        }
    return content


def _json(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _range(interval: Interval) -> str:
    return f"{_percent(interval.low)} to {_percent(interval.high)}"
