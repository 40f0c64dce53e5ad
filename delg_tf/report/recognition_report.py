"""The report on recognition: one HTML file that opens without a network."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from delg_tf.common.files import PathLike
from delg_tf.common.progress import Progress
from delg_tf.evaluation.metrics.landmark_recognition import (
    evaluate_landmark_recognition,
)
from delg_tf.report import record_tables, summary, svg, tables
from delg_tf.report.answer_cards import AnswerCards
from delg_tf.report.answers import (
    DISTRACTOR,
    RIGHT,
    WRONG,
    Answer,
    answer_lists,
    precision_over_recall,
    read_answers,
)
from delg_tf.report.charts import Chart
from delg_tf.report.histograms import draw_histograms
from delg_tf.report.missing import missing_notes
from delg_tf.report.page import write_page
from delg_tf.report.recognition_inputs import RecognitionReport
from delg_tf.report.retrieval_inputs import TableRow
from delg_tf.report.text import counted

# Columns of figures, and their headings.
COLUMNS = {
    "GAP": "GAP",
    "GAP_of_landmark_images": "GAP of landmark images",
    "top1": "Top-1",
}
_PUBLISHED = {"GAP": "GAP", "top-1": "Top-1"}
# Points of a curve; more would not be seen.
_POINTS = 500


def write_recognition_report(report: RecognitionReport, path: PathLike) -> None:
    """Writes the report as one HTML file; replaces an older one.

    The most confident wrong answers come first. Photographs that are gone are
    left out; the page and the log say so.

    Args:
        report: what it is made of.
        path: the file to write.
    """
    write_page(path, "recognition.html", _content(report))


def _content(report: RecognitionReport) -> dict[str, Any]:
    answers = read_answers(report.predictions, report.solution[report.part])
    landmark_images = sum(map(bool, report.solution[report.part].values()))
    lists = answer_lists(answers, report.max_images)
    drawer = AnswerCards(report, lists)
    shown = {}
    with Progress(sum(map(len, lists.values())), "Report", "image") as progress:
        for heading, chosen in lists.items():
            shown[heading] = [drawer.card(answer) for answer in chosen]
            progress.advance(len(chosen), note=heading)
    rows = _rows(report)
    return {
        "title": report.title,
        "lead": _lead(report, answers, landmark_images),
        "notes": [
            *report.notes,
            *missing_notes(drawer.tests.missing | drawer.index.missing),
        ],
        "part": report.part,
        "facts": report.record and record_tables.record_facts(report.record),
        "headings": list(COLUMNS.values()),
        "rows": summary.text_rows(rows, list(COLUMNS)),
        "published": summary.published_text_rows(
            report.published, list(_PUBLISHED)
        ),
        "published_headings": list(_PUBLISHED.values()),
        "lists": shown,
        "counts": _counts(answers),
        "charts": [
            _score_chart(answers),
            _curve_chart(answers, landmark_images),
        ],
        "settings": _settings(report),
    }


def _lead(
    report: RecognitionReport, answers: Sequence[Answer], landmarks: int
) -> str:
    among = ""
    if report.num_index_images is not None:
        among = (
            f" by {counted(report.num_index_images, 'labelled image')} that "
            "look like it"
        )
    images = len(report.solution[report.part])
    predicted = sum(answer.rank > 0 for answer in answers)
    return (
        f"Which landmark does a photograph show? It is named{among}. Of "
        f"{counted(images, 'test image')} ({report.part}) {landmarks:,} show "
        f"a landmark; {predicted:,} were given one."
    )


def _rows(report: RecognitionReport) -> list[TableRow]:
    """Metrics of each part: of the record, else computed here."""
    recorded = report.record.metrics if report.record else {}
    rows = []
    for part, truth in report.solution.items():
        if part in recorded:
            rows.append(summary.row_of_record(part, recorded[part]))
            continue
        known = {
            name: prediction
            for name, prediction in report.predictions.items()
            if name in truth
        }
        computed = evaluate_landmark_recognition(known, truth)
        values = (
            computed.gap,
            computed.gap_of_landmark_images,
            computed.top1,
        )
        percents = [100 * value for value in values]
        rows.append(TableRow(part, dict(zip(COLUMNS, percents))))
    return rows


def _counts(answers: Sequence[Answer]) -> dict[str, int]:
    found: dict[str, int] = {}
    for answer in answers:
        found[answer.kind] = found.get(answer.kind, 0) + 1
    return found


def _score_chart(answers: Sequence[Answer]) -> Chart:
    figure, axes = svg.new_axes(4.6, 3.6)
    scores = {
        kind: np.array(
            [answer.score for answer in answers if answer.kind == kind]
        )
        for kind in (RIGHT, WRONG, DISTRACTOR)
    }
    draw_histograms(axes, scores, "score", share_of="answers")
    return Chart(
        "Scores of right and wrong answers",
        svg.to_svg(figure, "Histograms of scores of right and wrong answers"),
        "A threshold tells right from wrong as far as the two do not overlap. "
        "The last bar holds all higher scores.",
    )


def _curve_chart(answers: Sequence[Answer], landmark_images: int) -> Chart:
    figure, axes = svg.new_axes(4.6, 3.6)
    recall, precision = precision_over_recall(answers, landmark_images)
    if len(recall):
        kept = np.unique(
            np.linspace(0, len(recall) - 1, _POINTS).round().astype(int)
        )
        axes.plot(
            100 * recall[kept],
            100 * precision[kept],
            color=svg.TEAL,
            linewidth=1.6,
        )
    axes.set_xlim(0, 102)
    axes.set_ylim(0, 105)
    svg.set_labels(axes, "recall, %", "precision, %")
    return Chart(
        "Precision over recall of all answers",
        svg.to_svg(figure, "Precision over recall of all answers by score"),
        "All answers in one list, the highest score first: GAP is the area "
        "that right answers make below this curve.",
    )


def _settings(report: RecognitionReport) -> dict[str, Mapping[str, str]]:
    settings: dict[str, Any] = {}
    if report.record is not None:
        settings |= record_tables.record_settings(report.record)
    else:
        settings["Versions"] = tables.versions()
    settings |= report.settings
    as_text = {name: tables.as_text(part) for name, part in settings.items()}
    return {name: table for name, table in as_text.items() if table}
