"""The HTML report of a whole evaluation."""

import dataclasses
from collections.abc import Mapping

from delg_tf.evaluation.published import (
    PublishedRow,
    published,
    published_rows,
)
from delg_tf.evaluation.record import read_record
from delg_tf.protocols.data_set import LANDMARKS
from delg_tf.protocols.joined_features import JoinedSource
from delg_tf.protocols.measures import labels_key, protocols_of
from delg_tf.protocols.rankings import load_all
from delg_tf.protocols.results import METRICS_JSON, REPORT, RetrievalRun
from delg_tf.report.landmark_queries import landmark_queries, lists_of_results
from delg_tf.report.retrieval_inputs import (
    EvaluatedQuery,
    RetrievalReport,
)
from delg_tf.report.retrieval_report import write_retrieval_report
from delg_tf.report.revisited_queries import revisited_queries
from delg_tf.retrieval.streaming.rankings import StreamedRankings

# Queries and index images of what has published figures.
_SIZES = {
    "roxford5k": (70, 4_993),
    "rparis6k": (70, 6_322),
    "roxford5k+r1m": (70, 1_005_994),
    "rparis6k+r1m": (70, 1_007_323),
}


def write_report_page(run: RetrievalRun) -> None:
    """Writes the HTML report.

    Raises:
        InputError: results are missing or damaged.
    """
    data, options = run.data, run.options
    before, after = load_all(data, run.files)
    reranking = options.reranking
    num_to_rerank = reranking.num_to_rerank if reranking else 0
    has_local = run.queries.description["content"]["local_features"]
    write_retrieval_report(
        RetrievalReport(
            title=f"Retrieval on {data.name}",
            queries=_queries(run, before, after, num_to_rerank),
            protocols=protocols_of(data),
            protocol=_shown(run),
            num_index_images=run.num_index_images,
            images=(data.query_dir, data.index_dir),
            features=(run.queries.open(), JoinedSource(run.index))
            if has_local
            else None,
            matching=reranking and reranking.matching,
            num_to_rerank=num_to_rerank or None,
            record=read_record(options.output / METRICS_JSON),
            published=_published(run),
            notes=_notes(run),
            metric_name="mAP@100" if data.solution else "mAP",
            score_name=before.results.ranked_by,
        ),
        options.output / REPORT,
    )


def _shown(run: RetrievalRun) -> str:
    """Returns the protocol that queries are shown under."""
    names = protocols_of(run.data)
    if run.data.solution is not None:
        return max(names, key=lambda part: len(run.data.solution[part]))
    return "medium" if "medium" in names else names[0]


def _queries(
    run: RetrievalRun,
    before: StreamedRankings,
    after: Mapping[str, StreamedRankings],
    num_to_rerank: int,
) -> list[EvaluatedQuery]:
    data, truth = run.data, run.data.ground_truth
    if data.protocol == LANDMARKS:
        last = next(iter(after.values()), None)
        lists = lists_of_results(
            before.results, last and last.results, num_to_rerank
        )
        return landmark_queries(data.solution, *lists)
    if not run.options.crop_queries:
        whole = [dataclasses.replace(q, bbx=None) for q in truth.queries]
        truth = dataclasses.replace(truth, queries=whole)
    return revisited_queries(
        truth,
        before,
        after or None,
        num_to_rerank,
        {name: labels_key(name) for name in protocols_of(data)},
        _shown(run),
    )


def _is_published(run: RetrievalRun) -> bool:
    """Whether this is the data set of its name, not another in its place."""
    size = (len(run.queries.names), run.num_index_images)
    return _SIZES.get(run.data.name) == size


def _published(run: RetrievalRun) -> list[PublishedRow]:
    if not _is_published(run):
        return []
    return published_rows(published(run.data.name, metric="mAP"))


def _notes(run: RetrievalRun) -> list[str]:
    notes = [run.crop_note]
    if run.data.name in _SIZES and not _is_published(run):
        notes.append(
            f"This is not the public data set {run.data.name}, which has "
            "{:,} queries and {:,} index images: published figures are left "
            "out.".format(*_SIZES[run.data.name])
        )
    if run.options.drop_junk:
        notes.append(
            "Each protocol was re-ranked on its own, without its junk, as the "
            "official script does: the ground truth touched the ranking."
        )
    if run.data.num_distractors:
        notes.append(
            f"{run.data.num_distractors:,} of the index images are "
            "distractors (R1M)."
        )
    if run.data.num_missing:
        notes.append(
            f"{run.data.num_missing:,} images were not there and are left "
            "out: these figures are not of the whole data set."
        )
    damaged = sum(len(part.skipped) for part in run.index)
    if damaged:
        notes.append(
            f"{damaged} index images could not be read and count as never "
            "found."
        )
    return notes
