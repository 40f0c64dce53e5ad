"""Recognition predictions measured, as numbers, a table and a record."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from delg_tf.common.files import PathLike, refuse_existing
from delg_tf.data.gldv2_solution import (
    read_recognition_predictions,
    read_recognition_solution,
)
from delg_tf.evaluation.metrics.landmark_recognition import (
    LandmarkRecognitionMetrics,
    bootstrap_gap_interval,
    evaluate_landmark_recognition,
)
from delg_tf.evaluation.metrics.uncertainty import Interval
from delg_tf.evaluation.record import RunRecord, write_record
from delg_tf.retrieval.text_table import markdown_table

RECORD_FILE = "metrics.json"
TABLE_FILE = "metrics.md"


@dataclasses.dataclass(frozen=True)
class RecognitionScores:
    """What predictions are worth, for a part of the solution.

    Attributes:
        metrics: as fractions.
        interval: of GAP over all images; None if it was not asked for.
    """

    metrics: LandmarkRecognitionMetrics
    interval: Interval | None


def score_predictions(
    predictions: PathLike, solution: PathLike, num_bootstrap: int = 0
) -> dict[str, RecognitionScores]:
    """Measures a prediction file.

    Args:
        predictions: CSV file with id and landmarks.
        solution: CSV file with id, landmarks and Usage.
        num_bootstrap: test sets drawn for the intervals; 0: no intervals.

    Returns:
        By part, "public" and "private", as far as the solution has them.

    Raises:
        InputError: a file is missing or wrong; the message names the line.
    """
    truth = read_recognition_solution(solution)
    given = read_recognition_predictions(predictions, truth)
    scores = {}
    for name, part in truth.parts().items():
        predicted = getattr(given, name)
        interval = None
        if num_bootstrap:
            interval = bootstrap_gap_interval(
                predicted, part, num_samples=num_bootstrap
            )
        scores[name] = RecognitionScores(
            evaluate_landmark_recognition(predicted, part), interval
        )
    return scores


def scores_table(scores: Mapping[str, RecognitionScores]) -> str:
    """Returns a Markdown table, a line a part, in percent."""
    rows = []
    for name, one in scores.items():
        metrics = one.metrics
        gap = _percent(metrics.gap)
        if one.interval is not None:
            ends = (one.interval.low, one.interval.high)
            gap += " ({}-{})".format(*map(_percent, ends))
        rows.append(
            [
                name,
                gap,
                _percent(metrics.gap_of_landmark_images),
                _percent(metrics.top1),
                *(
                    f"{count:,}"
                    for count in (
                        metrics.num_images,
                        metrics.num_landmark_images,
                        metrics.num_predictions,
                        metrics.num_correct,
                    )
                ),
            ]
        )
    header = [
        "part", "GAP, %", "GAP of landmark images, %", "top-1, %", "images",
        "with a landmark", "predictions", "right",
    ]  # fmt: skip
    return markdown_table(header, rows)


def write_scores(
    folder: PathLike,
    scores: Mapping[str, RecognitionScores],
    overwrite: bool = False,
    **facts: Any,
) -> pathlib.Path:
    """Writes `metrics.json` and `metrics.md`.

    Args:
        folder: of both.
        scores: as `score_predictions` returns them.
        overwrite: whether the files may exist.
        **facts: fields of the record beside `metrics` and `protocol`.

    Returns:
        The path of `metrics.json`.

    Raises:
        InputError: a file exists and may not be replaced.
    """
    path = pathlib.Path(folder) / RECORD_FILE
    table = path.with_name(TABLE_FILE)
    for one in (path, table):
        refuse_existing(one, overwrite)
    counts = {name: _counts(one) for name, one in scores.items()}
    facts["details"] = {**facts.get("details", {}), "counts": counts}
    record = RunRecord(
        metrics={name: _recorded(one) for name, one in scores.items()},
        protocol="landmark_recognition",
        **facts,
    )
    write_record(path, record, overwrite)
    table.write_text(scores_table(scores) + "\n", encoding="utf-8")
    return path


def _recorded(scores: RecognitionScores) -> dict[str, Any]:
    """Returns the numbers as a record has them: shares in percent."""
    metrics = scores.metrics
    numbers: dict[str, Any] = {
        "GAP": 100 * metrics.gap,
        "GAP_of_landmark_images": 100 * metrics.gap_of_landmark_images,
        "top1": 100 * metrics.top1,
    }
    if scores.interval is not None:
        numbers["intervals"] = {
            "GAP": {
                "low": 100 * scores.interval.low,
                "high": 100 * scores.interval.high,
                "level": scores.interval.level,
            }
        }
    return numbers


def _counts(scores: RecognitionScores) -> dict[str, int]:
    metrics = scores.metrics
    return {
        "images": metrics.num_images,
        "landmark_images": metrics.num_landmark_images,
        "predictions": metrics.num_predictions,
        "correct": metrics.num_correct,
    }


def _percent(share: float) -> str:
    return "-" if share != share else f"{100 * share:.2f}"
