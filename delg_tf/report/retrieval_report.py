"""The report on retrieval: one HTML file that opens without a network."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_directory, read_json
from delg_tf.common.progress import Progress
from delg_tf.report import (
    charts,
    curve_charts,
    histograms,
    record_tables,
    summary,
    tables,
)
from delg_tf.report.missing import missing_notes
from delg_tf.report.page import write_page
from delg_tf.report.queries import QueryView, QueryViews, mark_of
from delg_tf.report.query_pictures import QueryPictures
from delg_tf.report.query_table import query_table
from delg_tf.report.retrieval_inputs import RetrievalReport
from delg_tf.report.selection import KINDS, ChosenQuery, choose_queries
from delg_tf.report.text import counted, duration
from delg_tf.report.training_charts import training_charts
from delg_tf.training.history import read_history


def write_retrieval_report(report: RetrievalReport, path: PathLike) -> None:
    """Writes the report as one HTML file; replaces an older one.

    Failures come first: the queries that are shown are ordered by AP. A
    switch orders them by gain or loss instead. Photographs and features that
    are gone are left out; the page and the log say so.

    Args:
        report: what it is made of.
        path: the file to write.

    Raises:
        InputError: the folder of the training run is given but missing.
    """
    write_page(path, "retrieval.html", _content(report), scripts=("order.js",))


def _content(report: RetrievalReport) -> dict[str, Any]:
    """Returns everything that the template shows."""
    before, after = (_precisions(report, which) for which in ("before", "last"))
    chosen = _choose(report, before, after)
    drawer = QueryPictures(report.images, report.features, report.matching)
    views = _draw_queries(report, chosen, drawer)
    numbers = {choice.place: i for i, choice in enumerate(chosen, start=1)}
    is_reranked = any(query.after is not None for query in report.queries)
    return {
        "title": report.title,
        "lead": _lead(report, is_reranked),
        "notes": [
            *report.notes,
            *missing_notes(drawer.missing_photographs, drawer.missing),
        ],
        "protocol": report.protocol,
        "is_reranked": is_reranked,
        "num_queries": len(report.queries),
        **_figures(report),
        "kinds": {
            key: value
            for key, value in KINDS.items()
            if any(view.kind == key for view in views)
        },
        "queries": views,
        "table": query_table(report, numbers),
        "charts": _charts(report, before, after, numbers),
        "settings": _settings(report),
        **_training(report),
    }


def _precisions(report: RetrievalReport, which: str) -> list[float]:
    return [
        getattr(query.outcomes[report.protocol], which).average_precision
        for query in report.queries
    ]


def _lead(report: RetrievalReport, is_reranked: bool) -> str:
    text = (
        f"{counted(len(report.queries), 'query photograph')} searched for "
        f"among {counted(report.num_index_images, 'image')}"
    )
    if not is_reranked:
        return f"{text}, by global descriptors."
    best = min(report.num_to_rerank or 0, report.num_index_images)
    return (
        f"{text}: first by global descriptors, then the best {best:,} were "
        "re-ranked by how many local features agree on one motion between "
        "the two pictures (inliers)."
    )


def _figures(report: RetrievalReport) -> dict[str, Any]:
    """Tables of figures and their chart."""
    rows = [
        *report.measured,
        *summary.measured_rows(report.queries, report.protocols),
    ]
    metrics = report.record.metrics if report.record else {}
    columns, others = summary.other_metrics(metrics)
    return {
        "protocols": report.protocols,
        "metric_name": report.metric_name,
        "facts": report.record
        and record_tables.record_facts(report.record, report.matching),
        "headings": [name.capitalize() for name in report.protocols],
        "rows": summary.text_rows(rows, report.protocols),
        "results_chart": charts.results_chart(
            [(row.name, row.values) for row in rows],
            report.protocols,
            report.metric_name,
        ),
        "published": summary.published_text_rows(
            report.published, report.protocols
        ),
        "other_columns": columns,
        "others": others,
    }


def _choose(
    report: RetrievalReport, before: list[float], after: list[float]
) -> list[ChosenQuery]:
    # Queries of one landmark have the same right images.
    landmarks = [
        frozenset(query.outcomes[report.protocol].right)
        for query in report.queries
    ]
    return choose_queries(before, after, landmarks, report.max_queries)


def _draw_queries(
    report: RetrievalReport,
    chosen: Sequence[ChosenQuery],
    drawer: QueryPictures,
) -> list[QueryView]:
    views = QueryViews(
        report.queries, report.protocol, report.score_name, drawer
    )
    drawn = []
    with Progress(len(chosen), "Report", "query") as progress:
        for number, choice in enumerate(chosen, start=1):
            drawn.append(views.draw(number, choice))
            progress.advance(note=drawn[-1].name)
    return drawn


def _charts(
    report: RetrievalReport,
    before: list[float],
    after: list[float],
    numbers: Mapping[int, int],
) -> list[charts.Chart]:
    shown = [
        charts.sorted_ap_chart(before, after),
        curve_charts.mean_curves(report.queries, report.protocols),
    ]
    if any(query.after is not None for query in report.queries):
        shown.append(charts.average_precision_chart(before, after, numbers))
        shown.append(histograms.inliers_chart(**_inliers(report)))
    return shown


def _inliers(report: RetrievalReport) -> dict[str, np.ndarray]:
    """Returns the inliers of all verified pairs by mark."""
    found: dict[str, list[int]] = {"right": [], "wrong": [], "junk": []}
    for query in report.queries:
        ranking = query.after
        if ranking is None or ranking.inliers is None:
            continue
        for name, number in zip(ranking.names, ranking.inliers):
            if number >= 0:
                mark = mark_of(query.outcomes[report.protocol], name)
                found[mark].append(int(number))
    return {mark: np.array(values, int) for mark, values in found.items()}


def _training(report: RetrievalReport) -> dict[str, Any]:
    training = report.training
    drawn = []
    if training.logdir is not None:
        directory = existing_directory(
            training.logdir, "folder of the training run"
        )
        drawn = training_charts(read_history(directory))
    seconds = tables.numbers_of(training.seconds)
    rates = tables.numbers_of(training.images_per_second)
    return {
        "training": drawn,
        "times": tables.time_rows(seconds, rates),
        "total_time": duration(math.fsum(seconds.values())),
    }


def _settings(report: RetrievalReport) -> dict[str, dict[str, str]]:
    """Returns tables of names and values, by their headings."""
    settings: dict[str, Any] = {}
    if report.record is not None:
        settings |= record_tables.record_settings(report.record)
    else:
        settings["Versions"] = tables.versions()
    if report.matching is not None:
        settings["Matching and re-ranking"] = {
            "num_to_rerank": report.num_to_rerank,
            **dataclasses.asdict(report.matching),
        }
    settings |= report.settings
    if report.training.logdir is not None:
        settings |= _trained(pathlib.Path(report.training.logdir))
    as_text = {name: tables.as_text(part) for name, part in settings.items()}
    return {name: table for name, table in as_text.items() if table}


def _trained(logdir: pathlib.Path) -> dict[str, Any]:
    described = logdir / "model.json"
    if not described.is_file():
        return {}
    content = read_json(described)
    if not isinstance(content, Mapping):
        raise InputError(f"{described} must hold a JSON object.")
    return {
        part.capitalize(): content.get(part) or {}
        for part in ("model", "training")
    }
