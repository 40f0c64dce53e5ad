"""Evaluation of recognition, from images to the record of the result."""

import dataclasses
import pathlib
import time
from typing import Any

from delg_tf.common.files import PathLike, refuse_existing
from delg_tf.evaluation import provenance, run_facts
from delg_tf.protocols.extraction_settings import ExtractionSettings
from delg_tf.protocols.recognition_data import RecognitionDataSet
from delg_tf.protocols.recognition_page import write_recognition_page
from delg_tf.protocols.recognition_run import (
    RecognitionOptions,
    RecognitionRun,
    recognise_data_set,
)
from delg_tf.protocols.recognition_scores import (
    RECORD_FILE,
    TABLE_FILE,
    RecognitionScores,
    score_predictions,
    write_scores,
)

PREDICTIONS_FILE = "predictions.csv"
PAGE_FILE = "report.html"


def evaluate_recognition(
    data_set: RecognitionDataSet,
    extraction: ExtractionSettings,
    options: RecognitionOptions,
    cache_dir: PathLike,
    output_dir: PathLike,
    num_bootstrap: int = 1000,
    with_page: bool = True,
    overwrite: bool = False,
) -> dict[str, RecognitionScores]:
    """Recognises a data set, measures it, and writes all there is to know.

    Args:
        data_set: the images.
        extraction: how they are extracted.
        options: how they are recognised.
        cache_dir: of features, indexes and lists.
        output_dir: gets predictions.csv, metrics.json, metrics.md and
            report.html.
        num_bootstrap: see `score_predictions`.
        with_page: whether report.html is written.
        overwrite: whether those files may exist.

    Returns:
        The scores by part.

    Raises:
        InputError: images, model, settings or the disk are unfit.
    """
    output = pathlib.Path(output_dir)
    for name in (PREDICTIONS_FILE, RECORD_FILE, TABLE_FILE, PAGE_FILE):
        refuse_existing(output / name, overwrite)
    started, start = provenance.now(), time.monotonic()
    run = recognise_data_set(
        data_set,
        extraction,
        options,
        cache_dir,
        output / PREDICTIONS_FILE,
        overwrite,
    )
    scores = score_predictions(
        run.predictions, data_set.solution_file, num_bootstrap
    )
    run.seconds["this_run"] = round(time.monotonic() - start, 1)
    facts = _facts(data_set, extraction, options, run)
    write_scores(output, scores, overwrite, started=started, **facts)
    if with_page:
        settings = {
            "model": str(extraction.config.model_path),
            "labels": str(data_set.labels_file),
            "solution": str(data_set.solution_file),
            "votes": str(options.votes),
            "verification": str(options.reranking or "none"),
            "index": options.vectors.kind,
        }
        write_recognition_page(
            output / PAGE_FILE,
            data_set,
            run,
            output / RECORD_FILE,
            settings,
        )
    return scores


def _facts(
    data_set: RecognitionDataSet,
    extraction: ExtractionSettings,
    options: RecognitionOptions,
    run: RecognitionRun,
) -> dict[str, Any]:
    """Returns the record's fields beside the metrics."""
    facts = run_facts.extraction_facts(extraction.config)
    facts["thresholds"]["abstention"] = options.votes.threshold
    return {
        **facts,
        "dataset": data_set.name,
        # Queries of this task are whole photographs.
        "queries_cropped": False,
        "index": {
            **dataclasses.asdict(options.vectors),
            "damaged_images": len(run.index.skipped),
        },
        "verification": run_facts.verification_facts(options.reranking),
        "image_lists": run_facts.image_lists(
            run.query_names, run.recogniser.index.names
        ),
        "seconds": run.seconds,
        "versions": provenance.library_versions(),
        "machine": provenance.machine(),
        "files": run_facts.files(
            labels=data_set.labels_file,
            ground_truth=data_set.solution_file,
            predictions=run.predictions,
        ),
        "details": {
            "votes": dataclasses.asdict(options.votes),
            "images_without_a_file": data_set.missing,
            "damaged_queries": len(run.skipped_queries),
            "verified_index_images": run.verified_images,
            "unit": "percent",
            **extraction.formats,
        },
    }
