"""Every way to search that the package has, on the same landmarks in one run.

Settings are the defaults, or those that other experiments chose on the
validation landmarks; the held-out landmarks are searched once in each way.
See README.md here for the command.
"""

import functools
import pathlib
import time
from collections.abc import Callable

from absl import flags

from delg_tf.aggregation.aggregator import Aggregator
from delg_tf.aggregation.codebook import load_codebook
from delg_tf.aggregation.config import parse_aggregation_config
from delg_tf.aggregation.folder import AggregatedFolder, AggregatedWriter
from delg_tf.aggregation.learning import KMeansOptions, learn_codebook
from delg_tf.aggregation.run import aggregate_images, whole_images
from delg_tf.common import cli
from delg_tf.common.files import atomic_write, refuse_existing
from delg_tf.data.revisited import PROTOCOLS, load_ground_truth
from delg_tf.evaluation.revisited import evaluate
from delg_tf.extraction.config import load_config
from delg_tf.extraction.detectors.config import DetectorConfig
from delg_tf.extraction.detectors.extractor import DetectorExtractor
from delg_tf.extraction.image_list import images_in_folder, images_of_dataset
from delg_tf.extraction.outputs import detector_sink
from delg_tf.extraction.run import extract_images, run_extraction
from delg_tf.features.compact.formats import LOCAL_FORMATS
from delg_tf.features.storage.choice import open_source
from delg_tf.features.storage.convert import convert_features
from delg_tf.matching.config import MatchingConfig
from delg_tf.retrieval.aggregated_search import index_folder, search_aggregated
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.inlier_counter import InlierCounter
from delg_tf.retrieval.ranking.config import (
    DatabaseAugmentation,
    Diffusion,
    KReciprocal,
    QueryExpansion,
    RankingConfig,
)
from delg_tf.retrieval.ranking.pipeline import rank_features
from delg_tf.retrieval.rerank import rerank
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.search import index_features
from delg_tf.retrieval.text_table import markdown_table

FLAGS = flags.FLAGS
flags.DEFINE_string("demo", "demo", "Working folder of tools/run_demo.py.")
flags.DEFINE_string("work", None, "Folder for features and the like; reused.")
flags.DEFINE_string("output", None, "Markdown file to write.")
flags.DEFINE_bool("overwrite", False, "Replace --output.")
flags.DEFINE_bool("quick", False, "Few training images: to try the script.")
flags.mark_flags_as_required(["work", "output"])

_SETS = ("query", "index")
_RERANKED = 100
_WORDS = 256
# Chosen on the validation landmarks in ranking_options, aggregated_features
# and table5_reranking.
_RANKINGS = {
    "alpha query expansion": RankingConfig(QueryExpansion(2, 8.0)),
    "database augmentation": RankingConfig(
        database_augmentation=DatabaseAugmentation(5, 3.0)
    ),
    "diffusion": RankingConfig(diffusion=Diffusion(20, 3, 0.3, 5.0)),
    "k-reciprocal": RankingConfig(
        k_reciprocal=KReciprocal(k1=5, k2=3, weight=0.5)
    ),
}
_DETECTORS = {
    "RootSIFT": (
        DetectorConfig("sift", threshold=0.01),
        MatchingConfig(
            descriptor_distance=None,
            ratio_test=0.9,
            mutual=True,
            residual_threshold=10.0,
        ),
    ),
    "ORB": (
        DetectorConfig("orb", threshold=5),
        MatchingConfig(
            descriptor_distance=None,
            binary_distance=None,
            ratio_test=0.9,
            residual_threshold=10.0,
        ),
    ),
}

Stores = tuple[FeatureStore, FeatureStore]


class _Quality:
    """The held-out landmarks, and a row for each way to search them."""

    def __init__(self) -> None:
        demo = pathlib.Path(FLAGS.demo)
        self.work = pathlib.Path(FLAGS.work)
        self.features = demo / "features"
        self.data = demo / "data" / "held_out"
        self.truth = load_ground_truth(self.data / "gnd.pkl")
        self.stores: Stores = tuple(
            FeatureStore(self.features / name) for name in _SETS
        )
        self.index = index_features(self.stores[1], self.truth.index_names)
        self.global_bytes = 4 * self.index.dimension
        self.rows: list[list[str]] = []

    def ranked(
        self,
        config: RankingConfig | None = None,
        counter: InlierCounter | None = None,
    ) -> SearchResults:
        """Searches by global descriptors."""
        return rank_features(
            self.index,
            self.stores[0],
            self.truth.query_names,
            config=config,
            counter=counter,
            num_to_rerank=_RERANKED,
        )

    def add(
        self, title: str, search: Callable[[], SearchResults], num_bytes: float
    ) -> SearchResults:
        """Searches, and writes a row; features are read from the disk."""
        start = time.perf_counter()
        results = search()
        seconds = (time.perf_counter() - start) / len(self.truth.query_names)
        metrics = evaluate(results, self.truth, (1,))
        row = [
            title,
            *(f"{metrics[name]['mAP']:.2f}" for name in PROTOCOLS),
            f"{seconds:.4f}",
            f"{num_bytes:,.0f}",
        ]
        self.rows.append(row)
        print(" | ".join(row), flush=True)
        return results


def _verified(
    quality: _Quality,
    places: list[pathlib.Path],
    before: Callable[[], SearchResults],
    matching: MatchingConfig | None = None,
) -> SearchResults:
    stores = [FeatureStore(place) for place in places]
    counter = InlierCounter(*stores, matching or MatchingConfig())
    return rerank(before(), counter, _RERANKED)


def _formats(quality: _Quality) -> dict[str, list[pathlib.Path]]:
    """Copies the local features into a store of each format."""
    places = {}
    for name in LOCAL_FORMATS:
        places[name] = [quality.work / f"{s}_{name}.arrows" for s in _SETS]
        for part, place in zip(_SETS, places[name]):
            convert_features(
                quality.features / part, place, "store", name, "float32"
            )
    return places


def _store_bytes(quality: _Quality, place: pathlib.Path) -> float:
    """Bytes of an image in a store, its global descriptor among them."""
    return place.stat().st_size / len(quality.index)


def _measure_verification(quality: _Quality) -> list[pathlib.Path]:
    places = _formats(quality)
    for name, pair in places.items():
        quality.add(
            f"verified, {name}",
            functools.partial(_verified, quality, pair, quality.ranked),
            _store_bytes(quality, pair[1]),
        )
    return places["binary"]


def _measure_rankings(quality: _Quality, binary: list[pathlib.Path]) -> None:
    num_bytes = _store_bytes(quality, binary[1])
    for name, config in _RANKINGS.items():
        search = functools.partial(quality.ranked, config)
        quality.add(name, search, quality.global_bytes)
        quality.add(
            f"{name}, verified (binary)",
            functools.partial(_verified, quality, binary, search),
            num_bytes,
        )

    def expanded() -> SearchResults:
        stores = [FeatureStore(place) for place in binary]
        counter = InlierCounter(*stores, MatchingConfig())
        config = RankingConfig(QueryExpansion(5, 0.0, min_inliers=100))
        return rerank(quality.ranked(config, counter), counter, _RERANKED)

    quality.add(
        "verified query expansion, verified (binary)", expanded, num_bytes
    )


def _codebook(quality: _Quality) -> pathlib.Path:
    path = quality.work / f"codebook_{_WORDS}.npz"
    if not path.exists():
        demo = pathlib.Path(FLAGS.demo)
        config = load_config("experiments/demo/extract.pbtxt", demo / "model")
        items = images_in_folder(demo / "data" / "train")
        items = items[: 50 if FLAGS.quick else 2000]
        extract_images(config, items, quality.work / "train")
        source = open_source(quality.work / "train")
        options = KMeansOptions(_WORDS, iterations=10, max_features=200_000)
        learn_codebook(source, source.names("local"), options)[0].save(path)
    return path


def _measure_aggregated(quality: _Quality, binary: list[pathlib.Path]) -> None:
    codebook = load_codebook(_codebook(quality))
    truth = quality.truth
    for kind in ("ASMK", "ASMK_STAR"):
        config = parse_aggregation_config(
            f"aggregation_type: {kind} codebook_size: {_WORDS} "
            f"feature_dimensionality: {codebook.dimension}"
        )
        folders = []
        for name in _SETS:
            folder = quality.work / kind / name
            source = open_source(quality.features / name)
            aggregate_images(
                source.names("local"),
                whole_images(source),
                Aggregator(config, codebook),
                AggregatedWriter(folder, config, codebook.identity),
            )
            folders.append(AggregatedFolder(folder))
        index = index_folder(
            folders[1],
            quality.work / kind / "inverted",
            truth.index_names,
            overwrite=True,
        )
        num_bytes = index.num_bytes / len(index)
        search = functools.partial(
            search_aggregated,
            folders[0],
            index,
            truth.query_names,
            truth.index_names,
        )
        quality.add(kind.replace("_STAR", "*"), search, num_bytes)
    local = _store_bytes(quality, binary[1]) - quality.global_bytes
    quality.add(
        "ASMK*, verified (binary)",
        functools.partial(_verified, quality, binary, search),
        num_bytes + local,
    )


def _measure_detectors(quality: _Quality) -> None:
    for name, (detector, matching) in _DETECTORS.items():
        places = [quality.work / name / part for part in _SETS]
        for part, place in zip(_SETS, places):
            items = images_of_dataset(
                quality.data / "gnd.pkl", quality.data / "jpg", part
            )
            with detector_sink(detector, place) as sink:
                make = functools.partial(DetectorExtractor, detector)
                run_extraction(make, items, sink)
        kind = "binary" if detector.detector == "orb" else "float32"
        stores = [place.with_suffix(".arrows") for place in places]
        for place, store in zip(places, stores):
            convert_features(place, store, "store", kind)
        quality.add(
            f"verified by {name}",
            functools.partial(
                _verified, quality, stores, quality.ranked, matching
            ),
            quality.global_bytes + _store_bytes(quality, stores[1]),
        )


def main() -> None:
    """Measures, and writes the table."""
    refuse_existing(FLAGS.output, FLAGS.overwrite)
    quality = _Quality()
    quality.add("global only", quality.ranked, quality.global_bytes)
    binary = _measure_verification(quality)
    _measure_rankings(quality, binary)
    _measure_aggregated(quality, binary)
    _measure_detectors(quality)
    header = ["ranking", *(name.capitalize() for name in PROTOCOLS)]
    header += ["seconds a query", "bytes an image"]
    text = (
        "# Results\n\nWritten by `measure.py`; the command is in README.md. "
        "mAP in percent on the\nheld-out landmarks of the demonstration.\n\n"
        f"{markdown_table(header, quality.rows)}\n"
    )
    with atomic_write(FLAGS.output, "w") as file:
        file.write(text)


if __name__ == "__main__":
    cli.run(main)
