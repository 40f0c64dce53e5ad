"""Bytes and retrieval quality of each format, on the demonstration's features.

The features that `tools/run_demo.py` extracted are copied into stores of each
format. Each pair of stores is searched by its global descriptors, re-ranked
and evaluated on the held-out landmarks, as `tools/evaluate_retrieval.py` does.
See README.md here for the command.
"""

import dataclasses
import pathlib
import tempfile

import numpy as np
from absl import flags

from delg_tf.common import cli
from delg_tf.common.files import atomic_write, refuse_existing
from delg_tf.data.revisited import RevisitedGroundTruth, load_ground_truth
from delg_tf.evaluation.pipeline import evaluate_features
from delg_tf.evaluation.revisited import AFTER_RERANKING
from delg_tf.features.compact.formats import feature_bytes
from delg_tf.features.storage.convert import convert_features
from delg_tf.matching.config import MatchingConfig
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.rerank import RerankConfig

FLAGS = flags.FLAGS
flags.DEFINE_string("demo", "demo", "Working folder of tools/run_demo.py.")
flags.DEFINE_string("output", None, "Markdown file to write.")
flags.DEFINE_bool("overwrite", False, "Replace --output.")
flags.mark_flag_as_required("output")

# (local, global) formats of query and index images.
_FLOAT = ("float32", "float32")
_CASES = (
    (_FLOAT, _FLOAT),
    (("float16", "float16"), ("float16", "float16")),
    (("int8", "float16"), ("int8", "float16")),
    (("binary", "float16"), ("binary", "float16")),
    (_FLOAT, ("binary", "float16")),
)
_SETS = ("query", "index")
_PROTOCOLS = ("easy", "medium", "hard")
# The paper's: local features an image, their depth, global dimensions.
_PAPER = (1000, 128, 2048)


@dataclasses.dataclass(frozen=True)
class _Features:
    """The demonstration's features in one format."""

    local_format: str
    global_format: str
    stores: dict[str, pathlib.Path]

    def index_bytes(self) -> int:
        return self.stores["index"].stat().st_size


def _convert(folder: pathlib.Path, formats: tuple[str, str]) -> _Features:
    stores = {}
    for name in _SETS:
        stores[name] = folder / f"{'_'.join(formats)}.{name}.arrows"
        convert_features(
            pathlib.Path(FLAGS.demo, "features", name),
            stores[name],
            "store",
            *formats,
        )
    return _Features(*formats, stores)


def _quality(
    truth: RevisitedGroundTruth, query: _Features, index: _Features
) -> dict[str, list[float]]:
    """Returns mAP of each protocol, global and re-ranked, in percent."""
    metrics = evaluate_features(
        truth,
        FeatureStore(query.stores["query"]),
        FeatureStore(index.stores["index"]),
        (1,),
        RerankConfig(MatchingConfig()),
    )
    return {
        title: [metrics[f"{name}{suffix}"]["mAP"] for name in _PROTOCOLS]
        for title, suffix in (("global", ""), ("re-ranked", AFTER_RERANKING))
    }


def _errors(exact: FeatureStore, other: FeatureStore) -> tuple[float, float]:
    """Returns the mean L2 error of descriptors, and with one int8 scale."""
    errors, one_scale = [], []
    for name in exact.list_names():
        wanted = exact.local_features(name).descriptors
        found = other.local_features(name).descriptors
        errors.append(np.linalg.norm(found - wanted, axis=1))
        rounded = np.rint(wanted * 127) / 127
        one_scale.append(np.linalg.norm(rounded - wanted, axis=1))
    return tuple(float(np.concatenate(e).mean()) for e in (errors, one_scale))


def _paper_bytes(local_format: str, global_format: str) -> float:
    """Returns the bytes of an image with the paper's numbers."""
    count, depth, dimension = _PAPER
    vector = dimension * (4 if global_format == "float32" else 2)
    return count * feature_bytes(local_format, depth) + vector


def _row(cells: list[object]) -> str:
    shown = [f"{c:.2f}" if isinstance(c, float) else str(c) for c in cells]
    return "| " + " | ".join(shown) + " |"


def _size_table(converted: dict, images: int, depth: int) -> list[str]:
    files = pathlib.Path(FLAGS.demo, "features", "index").glob("*.delg_*")
    official = sum(path.stat().st_size for path in files)
    lines = [
        "| local | global | bytes a feature | bytes an image, here | "
        "10^6 images of the paper, GB | error of descriptors |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        # 24 bytes of tags and lengths a feature beside the numbers.
        _row(
            [
                "official files",
                "",
                552,
                round(official / images),
                f"{(1000 * 552 + 2048 * 4) / 1000.0:.1f}",
                0,
            ]
        ),
    ]
    exact = FeatureStore(converted[_FLOAT].stores["index"])
    for formats, features in converted.items():
        other = FeatureStore(features.stores["index"])
        error, one_scale = _errors(exact, other)
        lines.append(
            _row(
                [
                    *formats,
                    feature_bytes(formats[0], depth),
                    round(features.index_bytes() / images),
                    f"{_paper_bytes(*formats) / 1e3:.1f}",
                    f"{error:.4f}",
                ]
            )
        )
    lines += [
        "",
        "Error: mean distance of decoded from float32 descriptors, of unit "
        "length. int8 with one scale for all numbers, from -1 to 1, in place "
        f"of a scale for each descriptor: {one_scale:.4f}.",
    ]
    return lines


def _quality_table(converted: dict, truth: RevisitedGroundTruth) -> list[str]:
    lines = [
        "| queries | index images | ranking | Easy | Medium | Hard |",
        "| --- | --- | --- | ---: | ---: | ---: |",
    ]
    for query, index in _CASES:
        quality = _quality(truth, converted[query], converted[index])
        names = [f"{local} / {whole}" for local, whole in (query, index)]
        for title, values in quality.items():
            lines.append(_row([*names, title, *values]))
    return lines


def main() -> None:
    """Measures and writes the tables."""
    refuse_existing(FLAGS.output, FLAGS.overwrite)
    truth = load_ground_truth(
        pathlib.Path(FLAGS.demo, "data", "held_out", "gnd.pkl")
    )
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        converted = {
            formats: _convert(folder, formats)
            for formats in dict.fromkeys(index for _, index in _CASES)
        }
        exact = FeatureStore(converted[_FLOAT].stores["index"])
        names = exact.list_names()
        counts = [len(exact.local_features(name)) for name in names]
        lines = [
            "# Results",
            "",
            "Written by `measure.py`; the command is in README.md.",
            f"{len(names)} index images, {np.mean(counts):.0f} local features "
            "an image on average.",
            "",
            *_size_table(converted, len(names), _PAPER[1]),
            "",
            "mAP in percent on the held-out landmarks (local / global format):",
            "",
            *_quality_table(converted, truth),
        ]
    text = "\n".join(lines) + "\n"
    with atomic_write(FLAGS.output, "w") as file:
        file.write(text)
    print(text)


if __name__ == "__main__":
    cli.run(main)
