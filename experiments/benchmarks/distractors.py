"""Revisited Oxford with a million distractors: memory, time, and exactness.

Descriptors of distractors are written to an index on the disk, in each format;
then a process of its own evaluates from there: places of all labelled images
and the top of each list in one pass, metrics, re-ranking by local features of
a compact store, metrics again. Its greatest memory is what the system counted,
mapped files included.

See README.md here for the command and what it gave.
"""

import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import tempfile
import time

import numpy as np
from absl import flags
from distractors_data import CHUNK, Data, Size

from delg_tf.common import cli
from delg_tf.common.errors import InputError
from delg_tf.evaluation.revisited import (
    evaluate,
    evaluate_before_and_after,
)
from delg_tf.evaluation.streamed import evaluate_streamed, labelled_images
from delg_tf.features.compact.store_info import StoreInfo
from delg_tf.features.storage.choice import open_sink
from delg_tf.matching.config import MatchingConfig
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.index.batches import ImageBatch
from delg_tf.retrieval.index.choice import (
    create_index,
    open_index,
    open_writer,
)
from delg_tf.retrieval.index.settings import IndexSettings
from delg_tf.retrieval.inlier_counter import InlierCounter
from delg_tf.retrieval.rerank import rerank
from delg_tf.retrieval.search import search
from delg_tf.retrieval.streaming.array_source import ArraySource
from delg_tf.retrieval.streaming.joined_source import JoinedSource
from delg_tf.retrieval.streaming.memory import rows_a_block
from delg_tf.retrieval.streaming.rankings import StreamedRankings
from delg_tf.retrieval.streaming.reranking import rerank_streamed
from delg_tf.retrieval.streaming.search import stream_search
from delg_tf.retrieval.streaming.store_source import IndexSource
from delg_tf.retrieval.vectors.options import VectorOptions

FLAGS = flags.FLAGS
flags.DEFINE_integer("rows", 1_000_000, "Distractors.", lower_bound=100)
flags.DEFINE_integer("dimension", 2048, "Of descriptors.", lower_bound=16)
flags.DEFINE_integer("top", 100, "Images that are re-ranked.", lower_bound=1)
flags.DEFINE_float("memory_mib", 512, "For blocks of descriptors.")
flags.DEFINE_list("kinds", ["float32", "float16", "int8"], "Formats.")
flags.DEFINE_integer("check_rows", 20_000, "Compared with whole rankings.")
flags.DEFINE_integer("check_queries", 2, "Compared with all similarities.")
flags.DEFINE_integer("seed", 0, "Of the data.")
flags.DEFINE_string("scratch", None, "Folder for files; none: a temporary one.")
flags.DEFINE_bool("quick", False, "5,000 distractors of 256 numbers.")
flags.DEFINE_bool("json", False, "Print the figures as JSON in the last line.")

_GIB = 2**30
_COMMIT_EVERY = 8  # Chunks: what is not committed lies on the disk twice.


@dataclasses.dataclass(frozen=True)
class Case:
    """What a process is told."""

    size: Size
    kind: str
    top: int
    memory_mib: float
    folder: pathlib.Path
    check_queries: int


def memory_gib(field: str) -> float:
    """Returns what Linux says of this process: VmRSS, or VmHWM, its most."""
    text = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", text)[1]) * 1024 / _GIB


def build(case: Case) -> float:
    """Writes the index of distractors; returns seconds without drawing."""
    data, seconds = Data(case.size), 0.0
    options = VectorOptions(case.kind, bfloat16_copy=False)
    place = case.folder / "index"
    create_index(place, IndexSettings(case.size.dimension, vectors=options))
    names = data.distractor_names(case.size.rows)
    with open_writer(place) as writer:
        for number, first in enumerate(range(0, case.size.rows, CHUNK)):
            chunk = data.chunk(number)
            start = time.perf_counter()
            writer.add(ImageBatch(names[first : first + CHUNK], chunk))
            if number % _COMMIT_EVERY == _COMMIT_EVERY - 1:
                writer.commit()
            seconds += time.perf_counter() - start
    return seconds


def evaluate_case(case: Case) -> dict:
    """Evaluates from the index; returns the figures."""
    data, figures = Data(case.size), {"kind": case.kind}
    index = open_index(case.folder / "index")
    source = JoinedSource(
        [ArraySource(data.image_names, data.images), IndexSource(index)]
    )
    figures["disk_gib"] = sum(index.describe().bytes.values()) / _GIB
    figures["memory_before_gib"] = memory_gib("VmRSS")
    start = time.perf_counter()
    labelled = labelled_images(data.query_names, source.names, data.truth)
    rankings = stream_search(
        source,
        data.query_names,
        data.queries,
        labelled,
        case.top,
        case.memory_mib,
    )
    figures["search_s"] = time.perf_counter() - start
    start = time.perf_counter()
    metrics = evaluate_streamed(rankings, data.truth)
    figures["metrics_s"] = time.perf_counter() - start
    figures["memory_most_gib"] = memory_gib("VmHWM")
    store = write_local(case.folder / "local.arrows", data, rankings)
    # Kernels are compiled with the first pair.
    first = rankings.results.index_names[rankings.results.ranks[0, 0]]
    counter_of(store).count([(data.query_names[0], first)])
    start = time.perf_counter()
    reranked = rerank_streamed(rankings, counter_of(store), case.top)
    figures["rerank_s"] = time.perf_counter() - start
    metrics |= {
        f"{key}_after_gv": values
        for key, values in evaluate_streamed(reranked, data.truth).items()
    }
    figures["memory_with_reranking_gib"] = memory_gib("VmHWM")
    figures["pairs"] = rankings.results.ranks.size
    figures["mAP"] = {key: values["mAP"] for key, values in metrics.items()}
    figures["deepest_place"] = int(np.concatenate(rankings.places).max())
    for query in range(case.check_queries):
        check_query(source, data.queries[query], query, rankings)
    return figures


def write_local(
    path: pathlib.Path, data: Data, rankings: StreamedRankings
) -> FeatureStore:
    """Writes binary local features of the listed images and the queries."""
    results = rankings.results
    with open_sink(path, "store", StoreInfo("binary", None)) as sink:
        for number, name in enumerate(data.query_names):
            sink.write(name, None, data.query_features(number))
        for image in np.unique(results.ranks).tolist():
            name = results.index_names[image]
            sink.write(name, None, data.image_features(name))
    return FeatureStore(path)


def counter_of(store: FeatureStore) -> InlierCounter:
    """Returns what verifies pairs, as by default."""
    return InlierCounter(store, store, MatchingConfig())


def check_query(
    source: JoinedSource,
    query: np.ndarray,
    row: int,
    rankings: StreamedRankings,
) -> None:
    """Compares one query with a whole ranking, made in another way."""
    wide = query.astype(np.float64)
    found = np.empty(len(source), np.float32)
    for start in range(0, len(source), CHUNK):
        stop = min(start + CHUNK, len(source))
        part = source.block(start, stop).astype(np.float64)
        found[start:stop] = np.einsum("nd,d->n", part, wide)
    ranking = np.argsort(-found, kind="stable")
    ids, places = rankings.labelled[row], rankings.places[row]
    top = rankings.results.ranks[row]
    if not (
        np.array_equal(ranking[: len(top)], top)
        and np.array_equal(ranking[places], ids)
    ):
        raise AssertionError(f"query {row} is ranked otherwise")


def check_metrics(case: Case) -> dict:
    """Compares all metrics with those of whole rankings, over fewer rows."""
    data = Data(case.size)
    place = case.folder / "index"
    with open_writer(place) as writer:
        writer.add(ImageBatch(data.image_names, data.images))
    index = open_index(place)
    source, names = IndexSource(index), data.query_names
    start = time.perf_counter()
    whole = search(index, names, data.queries)
    metrics = evaluate(whole, data.truth)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    labelled = labelled_images(names, source.names, data.truth)
    rankings = stream_search(
        source, names, data.queries, labelled, case.top, case.memory_mib
    )
    streamed = evaluate_streamed(rankings, data.truth)
    streamed_seconds = time.perf_counter() - start
    counter = counter_of(write_local(case.folder / "few", data, rankings))
    after = evaluate_before_and_after(
        rerank(whole, counter, case.top), data.truth
    )
    streamed_after = evaluate_streamed(
        rerank_streamed(rankings, counter, case.top), data.truth
    )
    expected = {key: after[f"{key}_after_gv"] for key in streamed_after}
    # As text, because NaN is unequal to itself.
    pairs = [(streamed, metrics), (streamed_after, expected)]
    if any(json.dumps(a) != json.dumps(b) for a, b in pairs):
        raise AssertionError("metrics differ from those of whole rankings")
    return {
        "images": len(index),
        "equal": True,
        "whole_rankings_s": seconds,
        "streamed_s": streamed_seconds,
    }


def in_own_process(function, case: Case):  # noqa: ANN001, ANN201
    """Calls in a process that has nothing else in its memory."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        return pool.submit(function, case).result()


def measure(scratch: pathlib.Path, size: Size) -> dict:
    """Measures all kinds; returns the figures."""
    # Of float32, and what a commit has in addition.
    needed = (size.rows + 2 * _COMMIT_EVERY * CHUNK) * size.dimension * 4
    if shutil.disk_usage(scratch).free < needed:
        raise InputError(
            f"{scratch} needs {needed / _GIB:.0f} GiB of free space. Choose "
            "another --scratch, or fewer --rows."
        )
    cases = [
        Case(
            size,
            kind,
            FLAGS.top,
            FLAGS.memory_mib,
            scratch / kind,
            FLAGS.check_queries,
        )
        for kind in FLAGS.kinds
    ]
    figures = {
        "rows": size.rows,
        "memory_mib": FLAGS.memory_mib,
        "rows_a_block": rows_a_block(
            FLAGS.memory_mib, size.queries, size.dimension
        ),
        "kinds": [],
    }
    few = dataclasses.replace(size, rows=min(size.rows, FLAGS.check_rows))
    for case in cases:
        check = dataclasses.replace(case, size=few)
        row = {}
        for each, work, key in (
            (check, check_metrics, "check"),
            (case, evaluate_case, None),
        ):
            each.folder.mkdir()
            seconds = in_own_process(build, each)
            result = in_own_process(work, each)
            shutil.rmtree(each.folder)
            row |= {key: result} if key else result | {"build_s": seconds}
        figures["kinds"].append(row)
        _show(row)
    return figures


def _show(row: dict) -> None:
    print(
        f"{row['kind']}: {row['disk_gib']:.2f} GiB on the disk, written in "
        f"{row['build_s']:.0f} s; search {row['search_s']:.1f} s, metrics "
        f"{row['metrics_s']:.1f} s, memory {row['memory_before_gib']:.2f} GiB "
        f"before and {row['memory_most_gib']:.2f} at most; {row['pairs']} "
        f"pairs verified in {row['rerank_s']:.1f} s, memory "
        f"{row['memory_with_reranking_gib']:.2f} GiB at most; deepest place "
        f"{row['deepest_place']:,}; mAP {row['mAP']}; check {row['check']}",
        flush=True,
    )


def main() -> None:
    """Measures with the settings of the flags."""
    size = Size(FLAGS.rows, FLAGS.dimension, seed=FLAGS.seed)
    if FLAGS.quick:
        size = Size(5000, 256, queries=12, images=2300, seed=FLAGS.seed)
    if FLAGS.scratch:
        pathlib.Path(FLAGS.scratch).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FLAGS.scratch) as folder:
        figures = measure(pathlib.Path(folder), size)
    if FLAGS.json:
        print(json.dumps(figures | {"cores": os.cpu_count()}))


if __name__ == "__main__":
    cli.run(main)
