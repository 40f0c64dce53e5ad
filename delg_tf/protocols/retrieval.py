"""A whole evaluation of retrieval: extraction to report, resumable."""

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any

import delg_tf
from delg_tf.common.errors import InputError
from delg_tf.common.files import sha256
from delg_tf.evaluation.record import RunRecord, read_record
from delg_tf.protocols.catalogue import open_data_set
from delg_tf.protocols.data_set import RetrievalDataSet, without_boxes
from delg_tf.protocols.feature_cache import CachedFeatures, FeatureCache
from delg_tf.protocols.options import RetrievalOptions
from delg_tf.protocols.output_folder import claim_folder
from delg_tf.protocols.rankings import (
    ranking_files,
    rerank_data_set,
    search_data_set,
)
from delg_tf.protocols.rankings_file import save_rankings
from delg_tf.protocols.report_page import write_report_page
from delg_tf.protocols.results import (
    METRICS_JSON,
    REPORT,
    RetrievalRun,
    result_files,
    write_results,
)
from delg_tf.protocols.searching import SearchedFeatures
from delg_tf.workflow.stages import Stage, StageRunner, Task

# What a search depends on, of all settings.
_OF_SEARCH = ("dataset", "ground_truth", "features", "ranking", "skip_damaged")


def evaluate_data_set(options: RetrievalOptions) -> RunRecord:
    """Extracts, searches, re-ranks, measures and reports.

    What an earlier run with the same settings has finished is used again; so
    are features of other runs with the same model, extraction and images.

    Args:
        options: data set, model, settings.

    Returns:
        The record that is in `metrics.json`.

    Raises:
        InputError: the data set or the model is missing, incomplete or
            damaged, or the output folder has other results.
    """
    data = open_data_set(
        options.dataset,
        options.data_dir,
        options.all_queries,
        options.allow_missing,
    )
    if not options.crop_queries:
        data = without_boxes(data)
    cache = _feature_cache(data, options)
    places = [cache.locate(part) for part in (data.queries, *data.index)]
    settings = _settings(data, options, [p.folder.name for p in places])
    files = ranking_files(data, options)
    names = [path.name for path in result_files(data, files)]
    started = claim_folder(options.output, settings, names, options.overwrite)
    queries, *index = [cache.extract(place) for place in places]
    _check_skipped(data, queries, index, options)
    run = RetrievalRun(data, options, files, queries, index, started)
    runner = StageRunner(
        options.output / "stages.json",
        pathlib.Path.cwd(),
        delg_tf.__version__,
    )
    for stage in _stages(run, runner, settings):
        runner.run(stage)
    return read_record(options.output / METRICS_JSON)


def _feature_cache(
    data: RetrievalDataSet, options: RetrievalOptions
) -> FeatureCache:
    """Without re-ranking local features are not needed, but may be there."""
    every = FeatureCache(options.cache, options.extraction)
    if options.reranking is not None:
        return every
    parts = (data.queries, *data.index)
    fewer = FeatureCache(
        options.cache, options.extraction.without_local_features()
    )
    if all(map(fewer.is_finished, parts)):
        return fewer
    return every if all(map(every.is_finished, parts)) else fewer


def _settings(
    data: RetrievalDataSet, options: RetrievalOptions, features: list[str]
) -> dict[str, Any]:
    """All that results depend on."""
    reranking = options.reranking and dataclasses.asdict(options.reranking)
    if reranking:
        # They change no result.
        del reranking["num_threads"], reranking["num_processes"]
    return {
        "dataset": data.name,
        "ground_truth": [sha256(path) for path in data.sources],
        "features": features,
        "queries_cropped": options.crop_queries,
        "ranking": dataclasses.asdict(options.ranking),
        "reranking": reranking,
        "drop_junk": options.drop_junk,
        "cutoffs": list(options.cutoffs),
        "skip_damaged": options.skip_damaged,
    }


def _check_skipped(
    data: RetrievalDataSet,
    queries: CachedFeatures,
    index: list[CachedFeatures],
    options: RetrievalOptions,
) -> None:
    """Raises InputError for images that cannot be read."""
    skipped = [entry for part in index for entry in part.skipped]
    what, bad = "query", queries.skipped
    remedy = "Repair it: download it again, or correct its box."
    if not bad and not options.skip_damaged:
        what, bad = "index", skipped
        remedy += " Or pass --skip_damaged: such images are then never found."
    if bad:
        name, reason = bad[0]
        raise InputError(
            f"{len(bad)} {what} images of {data.name} cannot be used; the "
            f"first is {name}: {reason} {remedy}"
        )


def _stages(
    run: RetrievalRun, runner: StageRunner, settings: dict[str, Any]
) -> list[Stage]:
    """The stages after extraction."""
    options, files, data = run.options, run.files, run.data
    opened: list[SearchedFeatures] = []

    def features() -> SearchedFeatures:
        if not opened:
            opened.append(SearchedFeatures.open(run.queries, run.index))
        return opened[0]

    def search() -> None:
        found = search_data_set(data, features(), options)
        save_rankings(files.before, found)

    def rerank() -> None:
        rerank_data_set(data, features(), options, files)

    def task(work: Callable[[], None], *names: str) -> tuple[Task]:
        return (Task(json.dumps([settings[name] for name in names]), work),)

    results, page = result_files(data, files), options.output / REPORT
    reranking = Stage(
        "reranking",
        "Geometric re-ranking",
        task(rerank, "reranking", "drop_junk"),
        files.of_reranking,
    )
    return [
        Stage("search", "Search", task(search, *_OF_SEARCH), files.of_search),
        *([reranking] if files.reranked else []),
        Stage(
            "evaluation",
            "Evaluation",
            task(lambda: write_results(run, runner.seconds), *settings),
            tuple(path for path in results if path != page),
        ),
        Stage(
            "report", "Report", task(lambda: write_report_page(run)), (page,)
        ),
    ]
