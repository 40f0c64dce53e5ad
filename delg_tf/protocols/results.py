"""What a whole evaluation leaves behind: metrics, record, CSV, report."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from delg_tf.evaluation.intervals import with_intervals
from delg_tf.evaluation.metrics_file import write_metrics_text
from delg_tf.evaluation.provenance import library_versions, machine
from delg_tf.evaluation.record import RunRecord, write_record
from delg_tf.evaluation.revisited import AFTER_RERANKING
from delg_tf.evaluation.run_facts import (
    extraction_facts,
    image_lists,
    verification_facts,
)
from delg_tf.protocols.data_set import (
    LANDMARKS,
    RetrievalDataSet,
)
from delg_tf.protocols.feature_cache import CachedFeatures
from delg_tf.protocols.measures import measure, protocols_of
from delg_tf.protocols.options import RetrievalOptions
from delg_tf.protocols.rankings import RankingFiles, load_all
from delg_tf.retrieval.prediction_csv import write_retrieval_csv

METRICS_JSON, METRICS_TEXT = "metrics.json", "metrics.txt"
PREDICTIONS, REPORT = "predictions.csv", "report.html"
# What the record calls the protocols.
_RECORD_NAMES = {LANDMARKS: "landmark_retrieval"}


@dataclasses.dataclass(frozen=True)
class RetrievalRun:
    """A run whose features are there.

    Attributes:
        data: images and labels.
        options: what it is run with.
        files: of the rankings.
        queries: features of the queries.
        index: of the index images, part by part.
        started: UTC, ISO 8601.
    """

    data: RetrievalDataSet
    options: RetrievalOptions
    files: RankingFiles
    queries: CachedFeatures
    index: Sequence[CachedFeatures]
    started: str

    @property
    def crop_note(self) -> str:
        """Says whether queries were cropped, for the report."""
        if not self.data.has_boxes:
            return "Queries have no boxes: whole photographs were searched for."
        if self.options.crop_queries:
            return (
                "Queries were cropped to their boxes before extraction, as "
                "the protocol demands."
            )
        return (
            "Queries were NOT cropped to their boxes: these figures do not "
            "follow the protocol, and are not comparable with published ones."
        )

    @property
    def num_index_images(self) -> int:
        """Number of the images that were searched."""
        return sum(len(part.names) for part in self.index)


def result_files(
    data: RetrievalDataSet, files: RankingFiles
) -> tuple[pathlib.Path, ...]:
    """Returns the files that a run writes, beside rankings."""
    own = PREDICTIONS if data.protocol == LANDMARKS else METRICS_TEXT
    return tuple(files.folder / n for n in (METRICS_JSON, own, REPORT))


def write_results(run: RetrievalRun, seconds: Mapping[str, float]) -> None:
    """Measures the rankings, and writes metrics, record and predictions.

    Args:
        run: whose rankings are on the disk.
        seconds: wall time of its stages.

    Raises:
        InputError: a k of precision is out of range.
    """
    data, options = run.data, run.options
    before, after = load_all(data, run.files)
    metrics: dict[str, Any] = {}
    for protocol in protocols_of(data):
        metrics[protocol] = measure(data, before, options.cutoffs, protocol)
        if after:
            metrics[protocol + AFTER_RERANKING] = measure(
                data, after[protocol], options.cutoffs, protocol
            )
    write_record(
        options.output / METRICS_JSON,
        _record(run, with_intervals(metrics), seconds),
        overwrite=True,
    )
    if data.protocol == LANDMARKS:
        last = next(iter(after.values()), before)
        path = options.output / PREDICTIONS
        write_retrieval_csv(path, last.results, overwrite=True)
    else:
        path = options.output / METRICS_TEXT
        write_metrics_text(path, metrics, overwrite=True)


def _record(
    run: RetrievalRun, metrics: Mapping[str, Any], seconds: Mapping[str, float]
) -> RunRecord:
    data, options = run.data, run.options
    facts = extraction_facts(options.extraction.config)
    if options.reranking:
        matching = options.reranking.matching
        facts["thresholds"] |= {
            "descriptor_distance": matching.descriptor_distance,
            "residual_threshold": matching.residual_threshold,
        }
    parts = (run.queries, *run.index)
    return RunRecord(
        metrics=metrics,
        details=_details(run),
        dataset=data.name,
        protocol=_RECORD_NAMES.get(data.protocol, data.protocol),
        queries_cropped=options.crop_queries and data.has_boxes,
        **facts,
        index=_index_facts(run),
        verification=verification_facts(options.reranking),
        query_names=data.ground_truth.query_names,
        image_lists=image_lists(
            data.ground_truth.query_names,
            [name for part in run.index for name in part.names],
        ),
        seconds={
            **{
                f"extraction of {part.folder.name}": taken
                for part in parts
                if (taken := part.description.get("seconds")) is not None
            },
            **seconds,
        },
        started=run.started,
        versions=library_versions(),
        machine=machine(),
        files={
            "ground_truth": str(data.sources[0]),
            "images_dir": str(data.index_dir),
            "search_results": str(
                (run.files.of_reranking or run.files.of_search)[0]
            ),
        },
    )


def _index_facts(run: RetrievalRun) -> dict[str, Any]:
    options = run.options
    return {
        "search": "exact, by cosine, all images"
        if options.ranking.is_plain
        else "exact, in memory",
        "ranking": dataclasses.asdict(options.ranking),
        "images": run.num_index_images,
        "distractors": run.data.num_distractors,
        "missing_images": run.data.num_missing,
        "damaged_images": sum(len(part.skipped) for part in run.index),
        **options.extraction.formats,
    }


def _details(run: RetrievalRun) -> dict[str, Any]:
    options = run.options
    return {
        "queries": len(run.data.ground_truth.query_names),
        "index_images": run.num_index_images,
        "average_precision": (
            "mAP@100 of GLDv2"
            if run.data.protocol == LANDMARKS
            else "trapezoidal, junk removed"
        ),
        "unit": "percent",
        "queries_cropped": run.crop_note,
        "drop_junk": options.drop_junk,
        "runtime": options.extraction.runtime,
        "precision": options.extraction.precision,
        "features": [p.folder.name for p in (run.queries, *run.index)],
    }
