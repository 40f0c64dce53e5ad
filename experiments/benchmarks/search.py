"""Exact and approximate search of global descriptors, and what it costs.

Clustered unit vectors, written once; each kind is built from them, opened,
searched and removed again. Raw FAISS, a NumPy product and our float32 take
turns; what other kinds take is compared with raw FAISS of the same run.

See README.md here for the command and what it gave.
"""

import dataclasses
import gc
import json
import os
import pathlib
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable

import faiss
import numpy as np
import psutil
from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError
from delg_tf.retrieval.index.batches import ImageBatch
from delg_tf.retrieval.index.choice import (
    create_index,
    open_index,
    open_writer,
)
from delg_tf.retrieval.index.settings import IndexSettings
from delg_tf.retrieval.vectors.base import Vectors
from delg_tf.retrieval.vectors.choice import (
    open_vectors,
    train_vectors,
    write_vectors,
)
from delg_tf.retrieval.vectors.options import VectorOptions

FLAGS = flags.FLAGS
flags.DEFINE_integer("rows", 1_000_000, "Descriptors.", lower_bound=1000)
flags.DEFINE_integer("dimension", 2048, "Of descriptors.", lower_bound=16)
flags.DEFINE_integer("queries", 70, "Queries of a batch.", lower_bound=1)
flags.DEFINE_integer("top", 100, "Rows for each query.", lower_bound=1)
flags.DEFINE_integer("rounds", 5, "Searches that are timed.", lower_bound=1)
flags.DEFINE_integer("hnsw_rows", 100_000, "Descriptors in hnsw; 0: none.")
flags.DEFINE_list(
    "kinds",
    ["float16", "int8", "ivfpq", "ivfpq + float16", "hnsw"],
    "What is measured beside float32.",
)
flags.DEFINE_integer("sample", 50_000, "Descriptors that train ivfpq.")
flags.DEFINE_float("noise", 0.7, "Spread of a cluster, in its radius.")
flags.DEFINE_integer("seed", 0, "Of the descriptors.")
flags.DEFINE_string("scratch", None, "Folder for files; none: a temporary one.")
flags.DEFINE_bool("quick", False, "20,000 rows of 256 numbers, 2 rounds.")
flags.DEFINE_bool("json", False, "Print the figures as JSON in the last line.")

_CHUNK = 16384
# So that the best 100 are of the query's own cluster.
_ROWS_A_CLUSTER = 500
_GIB = 2**30

Search = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass
class Figures:
    """What was measured of a contender; see `_HEADER`."""

    name: str
    rows: int
    batch: float = 0.0
    one: float = 0.0
    over_faiss: float = 0.0
    recall: float = 0.0
    build: float = 0.0
    load: float = 0.0
    memory_gib: float = 0.0
    disk_gib: float = 0.0


_HEADER = (
    "| kind | rows | s a batch | s a query | over FAISS | recall | build, s | "
    "open and first query, s | memory, GiB | disk, GiB |"
)


class Data:
    """Descriptors in a file, and queries."""

    def __init__(self, path: pathlib.Path):
        rng = np.random.default_rng(FLAGS.seed)
        clusters = -(-FLAGS.rows // _ROWS_A_CLUSTER)
        self._centres = rng.standard_normal(
            (clusters, FLAGS.dimension), np.float32
        )
        array = np.lib.format.open_memmap(
            path, "w+", np.float32, (FLAGS.rows, FLAGS.dimension)
        )
        for start in range(0, FLAGS.rows, _CHUNK):
            count = min(_CHUNK, FLAGS.rows - start)
            array[start : start + count] = self._draw(rng, count)
        array.flush()
        del array
        self.array = np.load(path, mmap_mode="r")
        self.queries = self._draw(rng, FLAGS.queries)

    def _draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        values = FLAGS.noise * rng.standard_normal(
            (count, FLAGS.dimension), np.float32
        )
        values += self._centres[rng.integers(len(self._centres), size=count)]
        return values / np.linalg.norm(values, axis=1, keepdims=True)


def raw_faiss(array: np.ndarray) -> tuple[Search, np.ndarray]:
    """FAISS's exact index, in memory; returns its search and its array."""
    index = faiss.IndexFlatIP(array.shape[1])
    # At once: growing it would need twice the memory.
    index.codes.resize(array.nbytes)
    held = faiss.rev_swig_ptr(index.get_xb(), array.size)
    held = held.reshape(array.shape)
    for start in range(0, len(array), _CHUNK):
        held[start : start + _CHUNK] = array[start : start + _CHUNK]
    index.ntotal = len(array)
    return lambda queries: index.search(queries, FLAGS.top)[1], held


def numpy_product(array: np.ndarray) -> Search:
    """NumPy's product, a chunk at a time, and the best of each chunk."""

    def search(queries: np.ndarray) -> np.ndarray:
        ids, scores = [], []
        for start in range(0, len(array), 4 * _CHUNK):
            part = queries @ array[start : start + 4 * _CHUNK].T
            top = min(FLAGS.top, part.shape[1])
            place = np.argpartition(-part, top - 1, axis=1)[:, :top]
            ids.append(place + start)
            scores.append(np.take_along_axis(part, place, axis=1))
        scores = np.concatenate(scores, axis=1)
        order = np.argsort(-scores, axis=1)[:, : FLAGS.top]
        return np.take_along_axis(np.concatenate(ids, axis=1), order, axis=1)

    return search


def time_in_turns(
    searches: dict[str, Search], queries: np.ndarray
) -> dict[str, tuple[float, float]]:
    """Returns median seconds of a batch and of one query, for each."""
    times = {name: ([], []) for name in searches}
    for round_ in range(FLAGS.rounds):
        single = queries[round_ % len(queries)][None]
        for which, batch in enumerate((queries, single)):
            for name, search in searches.items():
                start = time.perf_counter()
                search(batch)
                times[name][which].append(time.perf_counter() - start)
    return {
        name: (statistics.median(batch), statistics.median(one))
        for name, (batch, one) in times.items()
    }


def build(
    folder: pathlib.Path, array: np.ndarray, options: VectorOptions
) -> float:
    """Writes descriptors of a kind; returns seconds, training included."""
    start = time.perf_counter()
    trained = None
    if options.needs_training:
        trained = folder.with_suffix(".trained")
        step = max(1, len(array) // FLAGS.sample)
        train_vectors(trained, array[::step], options, rows=len(array))
    folder.mkdir()
    write_vectors(folder, array, options, trained)
    return time.perf_counter() - start


def opened(
    folder: pathlib.Path,
    options: VectorOptions,
    query: np.ndarray,
    method: str = "auto",
) -> tuple[Vectors, Search, float, float]:
    """Opens descriptors.

    Returns:
        They, their search, seconds until the first result, and GiB of memory
        that opening and a search took, mapped pages included.
    """
    process = psutil.Process()
    gc.collect()
    before, start = process.memory_info().rss, time.perf_counter()
    vectors = open_vectors(folder, options, method=method)
    vectors.search(query, FLAGS.top)
    load = time.perf_counter() - start
    memory = (process.memory_info().rss - before) / _GIB

    def search(queries: np.ndarray) -> np.ndarray:
        return vectors.search(queries, FLAGS.top)[0]

    return vectors, search, load, memory


def recall(found: np.ndarray, wanted: np.ndarray) -> float:
    """Share of the wanted rows that were found."""
    pairs = zip(wanted, found, strict=True)
    return float(np.mean([np.isin(a, b).mean() for a, b in pairs]))


def measure_exact(folder: pathlib.Path, data: Data) -> list[Figures]:
    """Raw FAISS, NumPy and ours in float32, in turns."""
    options = VectorOptions("float32")
    seconds = build(folder, data.array, options)
    _, ours, load, memory = opened(folder, options, data.queries[:1])
    start = time.perf_counter()
    faiss_search, held = raw_faiss(data.array)
    filled = time.perf_counter() - start
    searches = {
        "raw FAISS": faiss_search,
        "NumPy": numpy_product(held),
        "float32": ours,
    }
    rows = _compared(searches, data.queries, len(held))
    for row in rows:
        row.memory_gib = row.disk_gib = data.array.nbytes / _GIB
    rows[0].build = filled
    rows[2].build, rows[2].load, rows[2].memory_gib = seconds, load, memory
    rows[2].disk_gib = _size(folder)
    return rows


def measure_elsewhere(folder: pathlib.Path, data: Data) -> Figures:
    """Ours as a CPU without bfloat16 does it, against raw FAISS, in turns.

    Over half a million rows at most: memory would not hold both arrays of
    more.
    """
    array = data.array[: min(len(data.array), 500_000)]
    options = VectorOptions("float32", bfloat16_copy=False)
    seconds = build(folder, array, options)
    query = data.queries[:1]
    _, ours, load, memory = opened(folder, options, query, "faiss")
    name = "float32, no bfloat16"
    searches = {"raw FAISS": raw_faiss(array)[0], name: ours}
    figures = _compared(searches, data.queries, len(array))[1]
    figures.build, figures.load = seconds, load
    figures.memory_gib, figures.disk_gib = memory, _size(folder)
    return figures


def _compared(
    searches: dict[str, Search], queries: np.ndarray, count: int
) -> list[Figures]:
    """Times searches in turns; the first is raw FAISS."""
    found = {name: search(queries) for name, search in searches.items()}
    wanted = found["raw FAISS"]
    times = time_in_turns(searches, queries)
    return [
        Figures(
            name,
            count,
            *times[name],
            over_faiss=times[name][0] / times["raw FAISS"][0],
            recall=recall(found[name], wanted),
        )
        for name in searches
    ]


def measure_kind(
    folder: pathlib.Path,
    name: str,
    options: VectorOptions,
    data: Data,
    rows: int,
) -> Figures:
    """One of the other kinds, against FAISS over the same rows."""
    array = data.array[:rows]
    wanted = faiss.knn(
        data.queries, array, FLAGS.top, metric=faiss.METRIC_INNER_PRODUCT
    )[1]
    seconds = build(folder, array, options)
    _, search, load, memory = opened(folder, options, data.queries[:1])
    found = recall(search(data.queries), wanted)
    times = time_in_turns({name: search}, data.queries)[name]
    figures = Figures(name, rows, *times, 0, found, seconds, load, memory)
    figures.disk_gib = _size(folder)
    return figures


def measure_changes(place: pathlib.Path, data: Data) -> dict[str, float]:
    """Searches an index while another thread adds and removes images.

    Each commit adds a hundredth of the rows and removes a tenth of as many;
    the reader takes up what is new before each search of one query.
    """
    size = max(1000, len(data.array) // 100)
    create_index(place, IndexSettings(dimension=data.array.shape[1]))
    with open_writer(place) as writer:
        for number in range(4):
            writer.add(_batch(data, number, size))
            writer.commit()
    reader = open_index(place)
    stop = threading.Event()
    counts, seconds, taken_up = {}, {}, 0

    def search(what: str) -> None:
        nonlocal taken_up
        counts[what] = 0
        start = time.perf_counter()
        while not stop.is_set():
            taken_up += reader.refresh()
            reader.search(data.queries[:1], FLAGS.top)
            counts[what] += 1
        seconds[what] = time.perf_counter() - start

    def change() -> None:
        with open_writer(place) as writer:
            for number in range(4, 8):
                writer.add(_batch(data, number, size))
                first = (number - 4) * size
                writer.remove(str(i) for i in range(first, first + size // 10))
                writer.commit()

    for what, work in (("quiet", lambda: time.sleep(2)), ("changing", change)):
        stop.clear()
        thread = threading.Thread(target=search, args=(what,))
        thread.start()
        start = time.perf_counter()
        work()
        seconds[f"work_{what}"] = time.perf_counter() - start
        stop.set()
        thread.join()
    return {
        "images": len(open_index(place)),
        "searches_a_second": counts["quiet"] / seconds["quiet"],
        "while_changing": counts["changing"] / seconds["changing"],
        "commits_taken_up": taken_up,
        "images_added_a_second": 4 * size / seconds["work_changing"],
    }


def _batch(data: Data, number: int, size: int) -> ImageBatch:
    rows = range(number * size, (number + 1) * size)
    return ImageBatch(
        [str(row) for row in rows], np.array(data.array[rows.start : rows.stop])
    )


def measure(scratch: pathlib.Path) -> dict:
    """Runs all contenders; returns the figures."""
    needed = FLAGS.rows * FLAGS.dimension * 11
    if shutil.disk_usage(scratch).free < needed:
        raise InputError(
            f"{scratch} needs {needed / _GIB:.0f} GiB of free space. Choose "
            "another --scratch, or fewer --rows."
        )
    data = Data(scratch / "data.npy")
    print(_HEADER + "\n|---|" + "---:|" * 9, flush=True)
    rows = measure_exact(scratch / "float32", data)
    shutil.rmtree(scratch / "float32")
    rows.append(measure_elsewhere(scratch / "elsewhere", data))
    shutil.rmtree(scratch / "elsewhere")
    for row in rows:
        _show(row)
    kinds = [
        ("float16", VectorOptions("float16"), FLAGS.rows),
        ("int8", VectorOptions("int8"), FLAGS.rows),
        ("ivfpq", VectorOptions("ivfpq", copy="none"), FLAGS.rows),
        ("ivfpq + float16", VectorOptions("ivfpq"), FLAGS.rows),
    ]
    if FLAGS.hnsw_rows:
        count = min(FLAGS.hnsw_rows, FLAGS.rows)
        kinds.append(("hnsw", VectorOptions("hnsw"), count))
    for name, options, count in kinds:
        if name not in FLAGS.kinds:
            continue
        folder = scratch / name.replace(" ", "")
        row = measure_kind(folder, name, options, data, count)
        # Of raw FAISS over as many rows, whose time grows with them.
        row.over_faiss = row.batch / (rows[0].batch * count / FLAGS.rows)
        shutil.rmtree(folder)
        rows.append(row)
        _show(row)
    changes = measure_changes(scratch / "changes", data)
    print(changes)
    return {
        "over_faiss": rows[2].over_faiss,
        "recall": rows[2].recall,
        "over_faiss_elsewhere": rows[3].over_faiss,
        "rows": [dataclasses.asdict(row) for row in rows],
        "changes": changes,
    }


def _size(folder: pathlib.Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / _GIB


def _show(row: Figures) -> None:
    print(
        f"| {row.name} | {row.rows:,} | {row.batch:.3f} | {row.one:.4f} | "
        f"{row.over_faiss:.3f} | {row.recall:.4f} | {row.build:.1f} | "
        f"{row.load:.2f} | {row.memory_gib:.2f} | {row.disk_gib:.2f} |",
        flush=True,
    )


def main() -> None:
    """Measures with the settings of the flags."""
    if FLAGS.quick:
        FLAGS.rows, FLAGS.dimension, FLAGS.rounds = 20_000, 256, 2
        FLAGS.hnsw_rows = min(FLAGS.hnsw_rows, 5000)
    with tempfile.TemporaryDirectory(dir=FLAGS.scratch) as folder:
        figures = measure(pathlib.Path(folder))
    if FLAGS.json:
        figures["cores"] = os.cpu_count()
        print(json.dumps(figures))


if __name__ == "__main__":
    cli.run(main)
