"""The report: one HTML file that opens anywhere, without a network."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_directory, read_json
from delg_tf.common.progress import Progress
from delg_tf.data.revisited import (
    PROTOCOLS,
    RevisitedGroundTruth,
    protocol_labels,
)
from delg_tf.matching.config import MatchingConfig
from delg_tf.report import charts, tables
from delg_tf.report.page import write_page
from delg_tf.report.queries import QueryView, QueryViews
from delg_tf.report.rankings import RIGHT, WRONG, QueryRanking, read_rankings
from delg_tf.report.selection import KINDS, ChosenQuery, choose_queries
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.results import SearchResults
from delg_tf.training.history import read_history


@dataclasses.dataclass(frozen=True, eq=False)
class ReportInputs:
    """What a report is made of.

    Attributes:
        title: of the page.
        metrics: all optional: "held_out" with mAP in percent by ranking
            ("untrained", "global", "reranked") and protocol, computed from
            the results if absent; "seconds" by stage; "images_per_second" by
            stage; everything else is shown among the settings.
        logdir: folder of the training run, or None.
        ground_truth: queries, index images and labels.
        images_dir: folder of their photographs, `<name>.jpg`.
        query_features_dir: folder of the queries' feature files. Locations
            of a query that was cropped to its box are in pixels of the whole
            photograph, as extraction writes them.
        index_features_dir: folder of the index images' feature files.
        global_results: whole rankings by global descriptor.
        reranked_results: the same after re-ranking.
        matching: the settings of re-ranking.
        max_queries: number of queries to show; each takes up to 0.8 MB.
        protocol: which images count as right: "easy", "medium" or "hard".
        num_to_rerank: length of the short lists that were verified.
    """

    title: str
    metrics: Mapping[str, Any]
    logdir: PathLike | None
    ground_truth: RevisitedGroundTruth
    images_dir: PathLike
    query_features_dir: PathLike
    index_features_dir: PathLike
    global_results: SearchResults
    reranked_results: SearchResults
    matching: MatchingConfig
    max_queries: int = 8
    protocol: str = "medium"
    num_to_rerank: int = 100


def write_report(inputs: ReportInputs, path: PathLike) -> None:
    """Writes the report as one HTML file; replaces an older one.

    Args:
        inputs: what it is made of.
        path: the file to write.

    Raises:
        InputError: an image or a feature file that is shown is missing, or
            the inputs do not belong together; the message names it.
        ValueError: there is no such protocol.
    """
    if inputs.protocol not in PROTOCOLS:
        raise ValueError(
            f"`protocol` must be one of {PROTOCOLS}. Received: "
            f"{inputs.protocol!r}"
        )
    existing_directory(inputs.images_dir, "image folder")
    write_page(path, "report.html", _content(inputs))


def _content(inputs: ReportInputs) -> dict[str, Any]:
    """Returns everything that the template shows."""
    rankings = read_rankings(
        inputs.ground_truth,
        inputs.global_results,
        inputs.reranked_results,
        inputs.protocol,
        inputs.num_to_rerank,
    )
    chosen = _choose(inputs, rankings)
    views = _draw_queries(inputs, rankings, chosen)
    held_out = inputs.metrics.get("held_out") or tables.measured_results(
        inputs.ground_truth, inputs.global_results, inputs.reranked_results
    )
    rows = tables.result_rows(held_out)
    seconds = tables.numbers_of(inputs.metrics.get("seconds"))
    return {
        "title": inputs.title,
        "protocol": inputs.protocol,
        "protocols": PROTOCOLS,
        "num_queries": len(inputs.ground_truth.query_names),
        "num_images": len(inputs.global_results.index_names),
        "num_to_rerank": min(
            inputs.num_to_rerank, len(inputs.global_results.index_names)
        ),
        "rows": rows,
        "results_chart": charts.results_chart(
            [(row.short_name, row.values) for row in rows], PROTOCOLS
        ),
        "times": tables.time_rows(
            seconds, tables.numbers_of(inputs.metrics.get("images_per_second"))
        ),
        "total_time": tables.duration(sum(seconds.values())),
        "training": _training(inputs.logdir),
        "kinds": {
            key: value
            for key, value in KINDS.items()
            if any(view.kind == key for view in views)
        },
        "queries": views,
        "pair_charts": _pair_charts(rankings, chosen),
        "settings": _settings(inputs),
    }


def _choose(
    inputs: ReportInputs, rankings: Sequence[QueryRanking]
) -> list[ChosenQuery]:
    # Queries of one landmark have the same right images.
    landmarks = [
        tuple(sorted(protocol_labels(query, inputs.protocol).positives))
        for query in inputs.ground_truth.queries
    ]
    return choose_queries(
        [ranking.ap_before for ranking in rankings],
        [ranking.ap_after for ranking in rankings],
        landmarks,
        inputs.max_queries,
    )


def _draw_queries(
    inputs: ReportInputs,
    rankings: list[QueryRanking],
    chosen: Sequence[ChosenQuery],
) -> list[QueryView]:
    views = QueryViews(
        rankings,
        list(inputs.global_results.index_names),
        inputs.images_dir,
        FeatureStore(inputs.query_features_dir),
        FeatureStore(inputs.index_features_dir),
        inputs.matching,
    )
    drawn = []
    with Progress(len(chosen), "Report", "query") as progress:
        for number, choice in enumerate(chosen, start=1):
            drawn.append(views.draw(number, choice))
            progress.advance(note=drawn[-1].name)
    return drawn


def _pair_charts(
    rankings: Sequence[QueryRanking], chosen: Sequence[ChosenQuery]
) -> list[charts.Chart]:
    right, wrong = (
        np.concatenate(
            [r.inliers[r.verified & (r.marks == mark)] for r in rankings]
        )
        for mark in (RIGHT, WRONG)
    )
    return [
        charts.average_precision_chart(
            [ranking.ap_before for ranking in rankings],
            [ranking.ap_after for ranking in rankings],
            {choice.place: i for i, choice in enumerate(chosen, start=1)},
        ),
        charts.inliers_chart(right, wrong),
    ]


def _training(logdir: PathLike | None) -> list[charts.Chart]:
    if logdir is None:
        return []
    directory = existing_directory(logdir, "folder of the training run")
    return charts.training_charts(read_history(directory))


def _settings(inputs: ReportInputs) -> dict[str, dict[str, str]]:
    """Returns tables of names and values, by their headings."""
    settings = {
        "Run": tables.run_settings(inputs.metrics),
        "Versions": tables.versions(),
        "Matching and re-ranking": tables.as_text(
            {
                "num_to_rerank": inputs.num_to_rerank,
                **dataclasses.asdict(inputs.matching),
            }
        ),
    }
    if inputs.logdir is not None:
        described = pathlib.Path(inputs.logdir) / "model.json"
        if described.is_file():
            content = read_json(described)
            if not isinstance(content, Mapping):
                raise InputError(f"{described} must hold a JSON object.")
            for part in ("model", "training"):
                settings[part.capitalize()] = tables.as_text(
                    content.get(part) or {}
                )
    return {name: table for name, table in settings.items() if table}
