"""Re-ranking one global search by different local features.

Each kind of features is matched under settings of its own, chosen on the
demonstration's validation landmarks; the held-out ones are met once. See
README.md here for the command.
"""

import dataclasses
import functools
import pathlib
import time

import numpy as np
from absl import flags

from delg_tf.common import cli
from delg_tf.common.files import atomic_write, refuse_existing
from delg_tf.data.revisited import PROTOCOLS, load_ground_truth
from delg_tf.evaluation.pipeline import tune_features
from delg_tf.evaluation.revisited import evaluate
from delg_tf.evaluation.tuning import TuningGrid, describe
from delg_tf.extraction.config import load_config
from delg_tf.extraction.detectors.config import DetectorConfig
from delg_tf.extraction.detectors.extractor import DetectorExtractor
from delg_tf.extraction.image_list import images_of_dataset
from delg_tf.extraction.outputs import detector_sink
from delg_tf.extraction.run import extract_images, run_extraction
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.storage.convert import convert_features
from delg_tf.matching.config import MatchingConfig
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.rerank import RerankConfig, rerank_features
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.search import index_features, search_features
from delg_tf.retrieval.text_table import markdown_table

FLAGS = flags.FLAGS
flags.DEFINE_string("demo", "demo", "Working folder of tools/run_demo.py.")
flags.DEFINE_string(
    "features", None, "Folder for features and trials; what is there is kept."
)
flags.DEFINE_string("output", None, "Markdown file to write.")
flags.DEFINE_bool("overwrite", False, "Replace --output.")
flags.DEFINE_bool("small_grid", False, "A third of the settings.")
flags.DEFINE_bool("quick", False, "Few methods, settings and short lists.")
flags.mark_flags_as_required(["features", "output"])

_SETS = ("query", "index")
_GRID = TuningGrid((0.8, 1.0, 1.2), (0.8, 0.9, 0.95))
_SMALL_GRID = TuningGrid((1.0,), (0.9, 0.95), residuals=(10.0, 20.0))
_FEW_TESTS = TuningGrid((1.0,), (0.9,), (False,), (20.0,))


@dataclasses.dataclass(frozen=True)
class _Method:
    """Local features; `detector` is None for the network's."""

    name: str
    folder: str
    detector: DetectorConfig | None = None
    local_format: str = "float32"


# Images of the demonstration are small: by OpenCV's own thresholds they have
# 250 SIFT and 150 ORB features.
_METHODS = (
    _Method("DELG", "delg"),
    _Method("DELG, binary", "delg_binary", local_format="binary"),
    _Method(
        "SIFT",
        "sift",
        DetectorConfig("sift", threshold=0.01, root_sift=False),
    ),
    _Method("RootSIFT", "rootsift", DetectorConfig("sift", threshold=0.01)),
    _Method("ORB", "orb", DetectorConfig("orb", threshold=5), "binary"),
)


def _group_path(group: str) -> pathlib.Path:
    return pathlib.Path(FLAGS.demo, "data", group)


def _delg(group: str, name: str) -> pathlib.Path:
    """Returns DELG's features of a set; the held-out ones are the demo's."""
    if group == "held_out":
        return pathlib.Path(FLAGS.demo, "features", name)
    folder = pathlib.Path(FLAGS.features, "delg", group, name)
    data = _group_path(group)
    config = load_config(
        "experiments/demo/extract.pbtxt", str(pathlib.Path(FLAGS.demo, "model"))
    )
    items = images_of_dataset(data / "gnd.pkl", data / "jpg", name)
    extract_images(config, items, folder)
    return folder


def _local(method: _Method, group: str, name: str) -> pathlib.Path:
    """Extracts the local features of a set, if need be."""
    if method.folder == "delg":
        return _delg(group, name)
    folder = pathlib.Path(FLAGS.features, method.folder, group, name)
    if method.detector is None:
        convert_features(
            _delg(group, name), folder, "packed", method.local_format
        )
        return folder
    data = _group_path(group)
    items = images_of_dataset(data / "gnd.pkl", data / "jpg", name)
    with detector_sink(method.detector, folder) as sink:
        make = functools.partial(DetectorExtractor, method.detector)
        run_extraction(make, items, sink)
    return folder


def _global_search() -> SearchResults:
    truth = load_ground_truth(_group_path("held_out") / "gnd.pkl")
    query, index = (FeatureStore(_delg("held_out", name)) for name in _SETS)
    return search_features(
        index_features(index, truth.index_names), query, truth.query_names
    )


def _grid() -> TuningGrid:
    if FLAGS.quick:
        return _FEW_TESTS
    return _SMALL_GRID if FLAGS.small_grid else _GRID


def _tune(method: _Method, short_list: int) -> MatchingConfig:
    """Chooses the settings of a method on the validation landmarks."""
    group = "validation"
    trials = tune_features(
        _group_path(group) / "gnd.pkl",
        tuple(_delg(group, name) for name in _SETS),
        tuple(_local(method, group, name) for name in _SETS),
        _grid(),
        RerankConfig(num_to_rerank=short_list),
        record=pathlib.Path(FLAGS.features, f"{method.folder}.trials.json"),
    )
    return trials[0].config


def _row(method: _Method, results: SearchResults, short_list: int) -> list[str]:
    config = _tune(method, short_list)
    truth = load_ground_truth(_group_path("held_out") / "gnd.pkl")
    paths = [_local(method, "held_out", name) for name in _SETS]
    stores = [FeatureStore(path) for path in paths]
    features = [stores[1].local_features(name) for name in truth.index_names]
    start = time.monotonic()
    reranked = rerank_features(
        results, *stores, RerankConfig(config, num_to_rerank=short_list)
    )
    seconds = (time.monotonic() - start) / len(truth.query_names)
    metrics = evaluate(reranked, truth, (1,))
    sizes = [
        EncodedFeatures.encode(local, method.local_format).nbytes
        for local in features
    ]
    return [
        method.name,
        *(f"{metrics[name]['mAP']:.2f}" for name in PROTOCOLS),
        f"{seconds:.3f}",
        f"{np.mean([len(local) for local in features]):.0f}",
        f"{np.mean(sizes):.0f}",
        describe(config),
    ]


def _text(rows: list[list[str]], short_list: int) -> str:
    header = ["local features", "Easy", "Medium", "Hard", "seconds a query"]
    header += ["features an image", "bytes an image", "chosen on validation"]
    return (
        "# Results\n\nWritten by `measure.py`; the command is in README.md. "
        "mAP in percent on the\nheld-out landmarks, after re-ranking the first "
        f"{short_list} images of DELG's global search.\nSeconds are those of "
        "re-ranking on this machine. The settings to choose from:\n"
        f"`{dataclasses.asdict(_grid())}`.\n\n"
        + markdown_table(header, rows)
        + "\n"
    )


def main() -> None:
    """Extracts, tunes, evaluates, and writes the table."""
    refuse_existing(FLAGS.output, FLAGS.overwrite)
    methods, short_list = _METHODS, 100
    if FLAGS.quick:
        methods, short_list = (_METHODS[0], _METHODS[-1]), 5
    truth = load_ground_truth(_group_path("held_out") / "gnd.pkl")
    results = _global_search()
    before = evaluate(results, truth, (1,))
    maps = [f"{before[name]['mAP']:.2f}" for name in PROTOCOLS]
    rows = [["none: global search", *maps, "0", "0", "0", "-"]]
    for method in methods:
        rows.append(_row(method, results, short_list))
        # What is done stays, if a later one is cut off.
        with atomic_write(FLAGS.output, "w") as file:
            file.write(_text(rows, short_list))
    print(_text(rows, short_list))


if __name__ == "__main__":
    cli.run(main)
