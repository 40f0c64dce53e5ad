"""Aggregated local features on the demonstration's landmarks.

Codebooks are learnt from training images; their size is chosen on the
validation landmarks for each kind; the held-out landmarks are then searched
once. See README.md here for the command.
"""

import functools
import pathlib
import time
from collections.abc import Callable

from absl import flags

from delg_tf.aggregation.aggregator import Aggregator
from delg_tf.aggregation.codebook import Codebook, load_codebook
from delg_tf.aggregation.config import parse_aggregation_config
from delg_tf.aggregation.folder import AggregatedFolder, AggregatedWriter
from delg_tf.aggregation.learning import KMeansOptions, learn_codebook
from delg_tf.aggregation.run import aggregate_images, whole_images
from delg_tf.common import cli
from delg_tf.common.files import atomic_write, refuse_existing
from delg_tf.data.revisited import (
    PROTOCOLS,
    RevisitedGroundTruth,
    load_ground_truth,
)
from delg_tf.evaluation.revisited import evaluate
from delg_tf.extraction.config import load_config
from delg_tf.extraction.image_list import images_in_folder, images_of_dataset
from delg_tf.extraction.run import extract_images
from delg_tf.features.storage.choice import open_source
from delg_tf.retrieval.aggregated_search import (
    index_folder,
    rerank_aggregated,
    search_aggregated,
)
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.rerank import RerankConfig, rerank_features
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.search import index_features, search_features
from delg_tf.retrieval.text_table import markdown_table

FLAGS = flags.FLAGS
flags.DEFINE_string("demo", "demo", "Working folder of tools/run_demo.py.")
flags.DEFINE_string(
    "work", "aggregated", "Folder for features, codebooks and files; reused."
)
flags.DEFINE_string("output", None, "Markdown file to write.")
flags.DEFINE_bool("overwrite", False, "Replace --output.")
flags.DEFINE_bool("quick", False, "Few images and words: to try the script.")
flags.mark_flag_as_required("output")

KINDS = ("VLAD", "ASMK", "ASMK_STAR")
_SETS = ("query", "index")


def _sizes(kind: str) -> tuple[int, ...]:
    if FLAGS.quick:
        return (16, 32)
    # VLAD has 128 K numbers an image.
    small = (128, 256, 512, 1024)
    return small if kind == "VLAD" else (*small, 2048, 4096)


def _extract() -> None:
    """Extracts what the demonstration does not: training and validation."""
    demo, work = pathlib.Path(FLAGS.demo), pathlib.Path(FLAGS.work)
    config = load_config("experiments/demo/extract.pbtxt", str(demo / "model"))
    items = images_in_folder(demo / "data" / "train")
    extract_images(config, items[: 50 if FLAGS.quick else 2000], work / "train")
    data = demo / "data" / "validation"
    for name in _SETS:
        items = images_of_dataset(data / "gnd.pkl", data / "jpg", name)
        extract_images(config, items, work / "validation" / name)


@functools.cache
def _codebook(size: int) -> Codebook:
    path = pathlib.Path(FLAGS.work, f"codebook_{size}.npz")
    if not path.exists():
        source = open_source(pathlib.Path(FLAGS.work, "train"))
        options = KMeansOptions(size, iterations=10, max_features=200_000)
        learn_codebook(source, source.names("local"), options)[0].save(path)
    return load_codebook(path)


def _aggregate(
    group: str, features: pathlib.Path, kind: str, size: int
) -> dict[str, AggregatedFolder]:
    """Aggregates queries and index images of a group of landmarks."""
    codebook = _codebook(size)
    config = parse_aggregation_config(
        f"aggregation_type: {kind} codebook_size: {size} "
        f"feature_dimensionality: {codebook.dimension}"
    )
    folders = {}
    for name in _SETS:
        folder = pathlib.Path(FLAGS.work, group, f"{kind}_{size}", name)
        writer = AggregatedWriter(folder, config, codebook.identity)
        source = open_source(features / name)
        aggregate_images(
            source.names("local"),
            whole_images(source),
            Aggregator(config, codebook),
            writer,
        )
        folders[name] = AggregatedFolder(folder)
    return folders


def _quality(
    results: SearchResults, truth: RevisitedGroundTruth
) -> dict[str, float]:
    metrics = evaluate(results, truth, (1,))
    return {name: metrics[name]["mAP"] for name in PROTOCOLS}


def _choose() -> tuple[dict[str, int], list[list[str]]]:
    """Returns the best size of each kind by mAP Medium, and all rows."""
    group = pathlib.Path(FLAGS.work, "validation")
    truth = load_ground_truth(
        pathlib.Path(FLAGS.demo, "data", "validation", "gnd.pkl")
    )
    best, rows = {}, []
    for kind in KINDS:
        medium = {}
        for size in _sizes(kind):
            folders = _aggregate("validation", group, kind, size)
            results = search_aggregated(folders["query"], folders["index"])
            quality = _quality(results, truth)
            medium[size] = quality["medium"]
            rows.append([kind, str(size), *_percent(quality)])
        best[kind] = max(medium, key=medium.get)
    return best, rows


def _percent(quality: dict[str, float]) -> list[str]:
    return [f"{quality[name]:.2f}" for name in PROTOCOLS]


class _HeldOut:
    """The held-out landmarks, searched in each way."""

    def __init__(self, sizes: dict[str, int]):
        demo = pathlib.Path(FLAGS.demo)
        self._sizes = sizes
        self._features = demo / "features"
        self._truth = load_ground_truth(demo / "data" / "held_out" / "gnd.pkl")
        self._stores = {
            name: FeatureStore(self._features / name) for name in _SETS
        }
        self.rows: list[list[str]] = []

    def _add(
        self,
        title: str,
        size: int | None,
        search: Callable[[], SearchResults],
        num_bytes: float,
    ) -> SearchResults:
        start = time.perf_counter()
        results = search()
        seconds = time.perf_counter() - start
        self.rows.append(
            [
                title,
                str(size or "-"),
                *_percent(_quality(results, self._truth)),
                f"{1000 * seconds / len(results.query_names):.2f}",
                f"{num_bytes:.0f}",
            ]
        )
        return results

    def _local_bytes(self) -> float:
        files = list((self._features / "index").glob("*.delg_local"))
        return sum(path.stat().st_size for path in files) / len(files)

    def measure(self) -> None:
        """Fills the rows."""
        truth, stores = self._truth, self._stores
        index = index_features(stores["index"], truth.index_names)
        vector = 4 * index.dimension
        found = self._add(
            "global",
            None,
            lambda: search_features(index, stores["query"], truth.query_names),
            vector,
        )
        for kind in KINDS:
            results, folders, num_bytes = self._search(kind)
        # The last one is ASMK*.
        size = self._sizes[kind]
        top = self._add(
            "global, then ASMK_STAR of the first 100",
            size,
            lambda: rerank_aggregated(
                found, folders["query"], folders["index"]
            ),
            vector + num_bytes,
        )
        verify = functools.partial(
            rerank_features,
            query_store=stores["query"],
            index_store=stores["index"],
            config=RerankConfig(num_to_rerank=5 if FLAGS.quick else 100),
        )
        local = self._local_bytes()
        for title, words, before, extra in (
            ("global, then verified", None, found, vector),
            ("ASMK_STAR, then verified", size, results, num_bytes),
            ("global, ASMK_STAR, then verified", size, top, vector + num_bytes),
        ):
            self._add(
                title,
                words,
                functools.partial(verify, before),
                extra + local,
            )

    def _search(
        self, kind: str
    ) -> tuple[SearchResults, dict[str, AggregatedFolder], float]:
        truth, size = self._truth, self._sizes[kind]
        folders = _aggregate("held_out", self._features, kind, size)
        index, num_bytes = folders["index"], 4.0 * size * 128
        if kind != "VLAD":
            path = pathlib.Path(FLAGS.work, "held_out", f"{kind}_{size}_index")
            index = index_folder(index, path, truth.index_names, overwrite=True)
            num_bytes = index.num_bytes / len(index)
        results = self._add(
            kind,
            size,
            lambda: search_aggregated(
                folders["query"], index, truth.query_names, truth.index_names
            ),
            num_bytes,
        )
        return results, folders, num_bytes


def main() -> None:
    """Measures and writes the tables."""
    refuse_existing(FLAGS.output, FLAGS.overwrite)
    _extract()
    sizes, validation = _choose()
    held_out = _HeldOut(sizes)
    held_out.measure()
    header = [*(name.capitalize() for name in PROTOCOLS)]
    lines = [
        "# Results",
        "",
        "Written by `measure.py`; the command is in README.md.",
        "",
        "mAP in percent on the validation landmarks, by which the sizes were "
        "chosen (Medium):",
        "",
        markdown_table(["kind", "words", *header], validation),
        "",
        "On the held-out landmarks:",
        "",
        markdown_table(
            ["ranking", "words", *header, "ms a query", "bytes an image"],
            held_out.rows,
        ),
    ]
    text = "\n".join(lines) + "\n"
    with atomic_write(FLAGS.output, "w") as file:
        file.write(text)
    print(text)


if __name__ == "__main__":
    cli.run(main)
