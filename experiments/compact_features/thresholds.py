"""Re-ranking by the greatest distance of descriptors.

Which threshold suits binary features: the landmarks are those that the
demonstration holds out beside its test landmarks. See README.md here.
"""

import pathlib
import tempfile

from absl import flags

from delg_tf.common import cli
from delg_tf.data.revisited import PROTOCOLS, load_ground_truth
from delg_tf.evaluation.pipeline import evaluate_features
from delg_tf.evaluation.revisited import AFTER_RERANKING
from delg_tf.extraction.config import load_config
from delg_tf.extraction.image_list import images_of_dataset
from delg_tf.extraction.run import extract_images
from delg_tf.features.storage.convert import convert_features
from delg_tf.matching.config import MatchingConfig
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.rerank import RerankConfig
from delg_tf.retrieval.text_table import markdown_table

FLAGS = flags.FLAGS
flags.DEFINE_string("demo", "demo", "Working folder of tools/run_demo.py.")
_THRESHOLDS = (0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3)
# Formats of queries and index images.
_PAIRS = (("float32", "float32"), ("binary", "binary"), ("float32", "binary"))


def _stores(folder: pathlib.Path) -> dict[tuple[str, str], FeatureStore]:
    """Extracts, and copies into each format; by format and set."""
    demo = pathlib.Path(FLAGS.demo)
    config = load_config("experiments/demo/extract.pbtxt", demo / "model")
    data = demo / "data" / "validation"
    stores = {}
    for name in ("query", "index"):
        items = images_of_dataset(data / "gnd.pkl", data / "jpg", name)
        extract_images(config, items, folder / name)
        for local_format in ("float32", "binary"):
            path = folder / f"{local_format}.{name}.arrows"
            convert_features(folder / name, path, "store", local_format)
            stores[local_format, name] = FeatureStore(path)
    return stores


def main() -> None:
    """Prints mAP Easy / Medium / Hard by threshold and formats."""
    truth = load_ground_truth(
        pathlib.Path(FLAGS.demo, "data", "validation", "gnd.pkl")
    )
    rows = []
    with tempfile.TemporaryDirectory() as name:
        stores = _stores(pathlib.Path(name))
        for threshold in _THRESHOLDS:
            cells = [f"{threshold:.2f}"]
            for query, index in _PAIRS:
                metrics = evaluate_features(
                    truth,
                    stores[query, "query"],
                    stores[index, "index"],
                    (1,),
                    RerankConfig(MatchingConfig(descriptor_distance=threshold)),
                )
                values = [
                    metrics[p + AFTER_RERANKING]["mAP"] for p in PROTOCOLS
                ]
                cells.append(" / ".join(f"{value:.2f}" for value in values))
            rows.append(cells)
    header = ["threshold", *(f"{q} in {i}" for q, i in _PAIRS)]
    print(markdown_table(header, rows))


if __name__ == "__main__":
    cli.run(main)
