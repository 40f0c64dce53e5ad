"""Recognition over millions of training images, in bounded memory.

Descriptors are made class by class and go into an index on the disk in
batches, as `tools/evaluate_recognition.py` puts them there; no array of all of
them exists. Then everything is as in an evaluation: labels from a train.csv,
queries from a feature store, short lists block by block, votes, a prediction
file, GAP. Images are not extracted, and local features not verified: those
costs are of queries, and do not grow with the index (verification.py,
extraction.py).

See README.md here for the command and what it gave.
"""

import csv
import dataclasses
import json
import os
import pathlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator

import numpy as np
from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError
from delg_tf.common.progress import Progress
from delg_tf.features.compact.store_info import StoreInfo
from delg_tf.features.storage.choice import open_sink
from delg_tf.protocols.recognition_scores import score_predictions
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.index.batches import ImageBatch
from delg_tf.retrieval.index.choice import (
    create_index,
    open_index,
    open_writer,
)
from delg_tf.retrieval.index.importing import COMMIT_IMAGES
from delg_tf.retrieval.index.settings import IndexSettings
from delg_tf.retrieval.recognition.labels import read_index_labels
from delg_tf.retrieval.recognition.run import Recogniser, recognise_features
from delg_tf.retrieval.recognition.short_lists import search_short_lists
from delg_tf.retrieval.recognition.votes import RecognitionConfig
from delg_tf.retrieval.vectors.options import VectorOptions

FLAGS = flags.FLAGS
flags.DEFINE_integer("rows", 1_000_000, "Training images.", lower_bound=1000)
flags.DEFINE_integer("dimension", 2048, "Of descriptors.", lower_bound=16)
flags.DEFINE_integer("queries", 1024, "Test images.", lower_bound=10)
flags.DEFINE_float(
    "known", 0.5, "Share of the test images whose landmark is in the index."
)
flags.DEFINE_enum(
    "kind",
    "int8",
    ["float16", "int8", "float32"],
    "How the index keeps descriptors.",
)
flags.DEFINE_float("noise", 3.5, "Spread of a class, in its radius.")
flags.DEFINE_integer("seed", 0, "Of the descriptors.")
flags.DEFINE_string("scratch", None, "Folder for files; none: a temporary one.")
flags.DEFINE_bool("quick", False, "20,000 rows of 256 numbers, 300 queries.")
flags.DEFINE_bool("json", False, "Print the figures as JSON in the last line.")

_IMAGES_A_CLASS = 20
_CLASSES_A_BATCH = 200
_GIB = 2**30
_BYTES = {"float32": 4, "float16": 2, "int8": 1}
# Of the whole of GLDv2: train.csv, test.csv.
_GLDV2_ROWS, _GLDV2_QUERIES = 4_132_914, 117_577


@dataclasses.dataclass
class Phase:
    """What a part took; memory is what the process had at most meanwhile.

    Attributes:
        name: of the part.
        seconds: wall time.
        own_gib: memory of the process alone ("RssAnon").
        mapped_gib: pages of files beside it ("RssFile"), which the system
            takes back when it needs them.
    """

    name: str
    seconds: float = 0.0
    own_gib: float = 0.0
    mapped_gib: float = 0.0


class Meter:
    """Measures parts of the run, by a thread that looks 20 times a second."""

    def __init__(self):
        self.phases: list[Phase] = []
        self._stop = threading.Event()
        self._start = 0.0

    def part(self, name: str) -> "Meter":
        """Names what comes next; `with` it."""
        self.phases.append(Phase(name))
        return self

    def __enter__(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        self._start = time.perf_counter()

    def __exit__(self, *exception: object) -> None:
        phase = self.phases[-1]
        phase.seconds = time.perf_counter() - self._start
        self._stop.set()
        self._thread.join()
        print(
            f"| {phase.name} | {phase.seconds:.1f} | {phase.own_gib:.2f} | "
            f"{phase.mapped_gib:.2f} |",
            flush=True,
        )

    def _watch(self) -> None:
        phase = self.phases[-1]
        while True:
            own, mapped = _memory()
            phase.own_gib = max(phase.own_gib, own)
            phase.mapped_gib = max(phase.mapped_gib, mapped)
            if self._stop.wait(0.05):
                return


def _memory() -> tuple[float, float]:
    """Returns GiB of the process's own, and of pages of files."""
    text = pathlib.Path("/proc/self/status").read_text()
    values = dict(line.split(":", 1) for line in text.splitlines())
    kib = [int(values[key].split()[0]) for key in ("RssAnon", "RssFile")]
    return kib[0] / 2**20, kib[1] / 2**20


@dataclasses.dataclass
class Queries:
    """Test images.

    Attributes:
        names: as of images of GLDv2.
        descriptors: float32 [Q, D].
        landmarks: landmark of each; None: it shows none.
    """

    names: list[str]
    descriptors: np.ndarray
    landmarks: list[int | None]


def image_name(row: int) -> str:
    """Returns an id like those of GLDv2, 16 hexadecimal digits."""
    return f"{row * 0x9E3779B97F4A7C15 % 2**64:016x}"


def batches() -> Iterator[tuple[range, np.ndarray, np.ndarray]]:
    """Yields classes, their centres, and [C * 20, D] descriptors."""
    classes = FLAGS.rows // _IMAGES_A_CLASS
    for start in range(0, classes, _CLASSES_A_BATCH):
        some = range(start, min(start + _CLASSES_A_BATCH, classes))
        rng = np.random.default_rng([FLAGS.seed, start])
        centres = rng.standard_normal((len(some), FLAGS.dimension), np.float32)
        yield some, centres, _views(rng, centres, _IMAGES_A_CLASS)


def _views(
    rng: np.random.Generator, centres: np.ndarray, count: int
) -> np.ndarray:
    """Returns `count` unit vectors about each centre, centre by centre."""
    views = rng.standard_normal(
        (len(centres), count, centres.shape[1]), np.float32
    )
    views *= FLAGS.noise
    views += centres[:, None]
    views = views.reshape(-1, centres.shape[1])
    views /= np.sqrt(np.einsum("nd,nd->n", views, views))[:, None]
    return views


def build(folder: pathlib.Path) -> Queries:
    """Fills the index and writes train.csv; returns the test images."""
    rng = np.random.default_rng([FLAGS.seed, 2**40])
    classes = FLAGS.rows // _IMAGES_A_CLASS
    known = min(round(FLAGS.known * FLAGS.queries), classes)
    wanted = set(rng.choice(classes, known, replace=False).tolist())
    create_index(
        folder / "index",
        IndexSettings(FLAGS.dimension, VectorOptions(FLAGS.kind)),
    )
    vectors, landmarks = [], []
    with (
        open(folder / "train.csv", "w") as file,
        open_writer(folder / "index") as writer,
        Progress(FLAGS.rows, "Index", "image") as progress,
    ):
        file.write("id,url,landmark_id\n")
        waiting = 0
        for some, centres, views in batches():
            first = some.start * _IMAGES_A_CLASS
            names = [image_name(first + i) for i in range(len(views))]
            for i, name in enumerate(names):
                file.write(f"{name},,{some[i // _IMAGES_A_CLASS]}\n")
            writer.add(ImageBatch(names, views))
            waiting += len(views)
            if waiting >= COMMIT_IMAGES:
                writer.commit()
                waiting = 0
            chosen = [c - some.start for c in some if c in wanted]
            if chosen:
                vectors.append(_views(rng, centres[chosen], 1))
                landmarks += [some.start + c for c in chosen]
            progress.advance(len(views))
    # Those that show no landmark: directions of their own.
    others = FLAGS.queries - len(landmarks)
    vectors.append(
        _views(rng, rng.standard_normal((others, FLAGS.dimension)), 1)
    )
    return Queries(
        [image_name(2**40 + i) for i in range(FLAGS.queries)],
        np.concatenate(vectors).astype(np.float32),
        landmarks + [None] * others,
    )


def write_queries(folder: pathlib.Path, queries: Queries) -> None:
    """Writes the store of the test images, and the solution."""
    info = StoreInfo(None, "float32", "")
    with open_sink(folder / "queries.arrows", "store", info) as sink:
        for name, vector in zip(queries.names, queries.descriptors):
            sink.write(name, vector, None)
    with open(folder / "solution.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "landmarks", "Usage"])
        for i, (name, one) in enumerate(zip(queries.names, queries.landmarks)):
            usage = "Private" if i % 3 else "Public"
            writer.writerow([name, "" if one is None else one, usage])


def measure(folder: pathlib.Path) -> dict:
    """Runs everything; returns the figures."""
    needed = FLAGS.rows * FLAGS.dimension * (4 + 2 * _BYTES[FLAGS.kind])
    if shutil.disk_usage(folder).free < needed:
        raise InputError(
            f"{folder} needs {needed / _GIB:.0f} GiB of free space while "
            "parts of the index are merged. Choose another --scratch, or fewer "
            "--rows."
        )
    meter = Meter()
    print("| part | s | own memory, GiB | pages of files, GiB |")
    print("|---|---:|---:|---:|", flush=True)
    with meter.part("(loaded, nothing done)"):
        time.sleep(0.1)
    with meter.part("index"):
        queries = build(folder)
    write_queries(folder, queries)
    with meter.part("opening, labels"):
        index = open_index(folder / "index")
        labels = read_index_labels(folder / "train.csv", index.names)
    with meter.part("search"):
        store = FeatureStore(folder / "queries.arrows")
        recogniser = Recogniser(
            index, labels, store, config=RecognitionConfig()
        )
        lists = search_short_lists(
            folder / "lists", index, store, queries.names, recogniser.depth
        )
    with meter.part("votes, prediction file"):
        recognise_features(
            dataclasses.replace(recogniser, short_lists=lists),
            folder / "predictions.csv",
            queries.names,
        )
    return _figures(folder, meter.phases, len(index))


def _figures(folder: pathlib.Path, phases: list[Phase], images: int) -> dict:
    scores = score_predictions(
        folder / "predictions.csv", folder / "solution.csv"
    )
    size = sum(
        path.stat().st_size
        for path in (folder / "index").rglob("*")
        if path.is_file()
    )
    search = next(p for p in phases if p.name == "search")
    a_thousand = 1000 * search.seconds / FLAGS.queries
    return {
        "rows": images,
        "dimension": FLAGS.dimension,
        "kind": FLAGS.kind,
        "queries": FLAGS.queries,
        "index_gib": size / _GIB,
        "seconds_a_thousand_queries": a_thousand,
        # In proportion; nothing of it was run.
        "scaled_to_gldv2_hours": a_thousand
        * (_GLDV2_QUERIES / 1000)
        * (_GLDV2_ROWS / images)
        / 3600,
        "own_gib": max(phase.own_gib for phase in phases),
        "gap": {name: one.metrics.gap for name, one in scores.items()},
        "phases": [dataclasses.asdict(phase) for phase in phases],
    }


def main() -> None:
    """Measures with the settings of the flags."""
    if FLAGS.quick:
        FLAGS.rows, FLAGS.dimension, FLAGS.queries = 20_000, 256, 300
        FLAGS.noise = 1.5
    with tempfile.TemporaryDirectory(dir=FLAGS.scratch) as folder:
        figures = measure(pathlib.Path(folder))
    print(
        f"{figures['rows']:,} x {figures['dimension']} as {figures['kind']}: "
        f"index {figures['index_gib']:.2f} GiB; "
        f"{figures['seconds_a_thousand_queries']:.1f} s for 1,000 queries; "
        f"GAP {100 * figures['gap']['private']:.2f} %"
    )
    if FLAGS.json:
        figures["cores"] = os.cpu_count()
        print(json.dumps(figures))


if __name__ == "__main__":
    cli.run(main)
