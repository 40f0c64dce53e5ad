"""Which verifier finds true inliers where they are few, and no false ones.

Planted motions among random matches, at shares of inliers from 2 to 50 %;
random matches alone; and the demonstration's validation landmarks, which
nothing else is tuned on. See README.md here.
"""

import dataclasses
import pathlib
import time

import numpy as np
import threadpoolctl
from absl import flags
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from delg_tf.common import cli
from delg_tf.common.files import atomic_write, refuse_existing
from delg_tf.data.revisited import (
    PROTOCOLS,
    RevisitedGroundTruth,
    load_ground_truth,
)
from delg_tf.evaluation.revisited import (
    AFTER_RERANKING,
    evaluate_before_and_after,
    labels_in_results,
)
from delg_tf.extraction.config import load_config
from delg_tf.extraction.image_list import images_of_dataset
from delg_tf.extraction.run import extract_images
from delg_tf.features.storage.convert import convert_features
from delg_tf.matching.backends import make_verifier
from delg_tf.matching.config import MatchingConfig
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.inlier_counter import InlierCounter
from delg_tf.retrieval.rerank import rerank
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.search import index_features, search_features
from delg_tf.retrieval.text_table import markdown_table

FLAGS = flags.FLAGS
flags.DEFINE_string("demo", "demo", "Working folder of tools/run_demo.py.")
flags.DEFINE_string(
    "work", "verification_work", "Folder for features; kept, and used again."
)
flags.DEFINE_string("output", None, "Markdown file to write.")
flags.DEFINE_string("curve", None, "Chart to write (.svg, .png).")
flags.DEFINE_bool("overwrite", False, "Replace --output and --curve.")
flags.DEFINE_integer("seeds", 40, "Planted motions of each share.")
flags.mark_flags_as_required(["output", "curve"])

_SHARES = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.35, 0.5)
_MATCHES = 1000
_SIDE = 1024.0
# Pixels: how far true matches lie from their place.
_NOISE = 3.0
_RANDOM_PAIRS = 200
_RESAMPLES = 10_000


def _variants() -> dict[str, MatchingConfig]:
    return {
        "skimage": MatchingConfig(backend="skimage"),
        "opencv": MatchingConfig(backend="opencv"),
        "opencv, 5,000": MatchingConfig(backend="opencv", iterations=5000),
        "usac": MatchingConfig(backend="usac"),
        "usac, 5,000": MatchingConfig(backend="usac", iterations=5000),
        "numpy": MatchingConfig(backend="numpy"),
        "numpy, 4,000": MatchingConfig(backend="numpy", iterations=4000),
    }


def planted(
    share: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns index places, query places and which matches are true.

    The motion is a view of a facade: up to 20 degrees of roll, a factor of
    1.6 in size, 1.7 between directions, and some shear.
    """
    rng = np.random.default_rng(seed)
    angle = np.deg2rad(rng.uniform(-20, 20))
    size, aspect = 2 ** rng.uniform(-0.7, 0.7), 2 ** rng.uniform(-0.4, 0.4)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    linear = size * turn @ [[aspect, rng.uniform(-0.25, 0.25)], [0, 1 / aspect]]
    shift = rng.uniform(-150, 150, 2) + _SIDE / 2 * (1 - linear.sum(axis=1))
    source = rng.uniform(0, _SIDE, (_MATCHES, 2))
    target = rng.uniform(0, _SIDE, (_MATCHES, 2))
    true = np.arange(_MATCHES) < round(share * _MATCHES)
    moved = source @ linear.T + shift + rng.normal(0, _NOISE, source.shape)
    target[true] = moved[true]
    return source, target, true


@dataclasses.dataclass
class _Synthetic:
    """Recall by share; milliseconds a pair; inliers of random matches."""

    recall: list[float]
    milliseconds: float
    false_mean: float
    false_most: int


def _synthetic(config: MatchingConfig, seeds: int) -> _Synthetic:
    verifier = make_verifier(config)
    recall, seconds = [], []
    for share in _SHARES:
        found = []
        for seed in range(seeds):
            source, target, true = planted(share, seed)
            start = time.thread_time()
            result = verifier.estimate(source, target)
            seconds.append(time.thread_time() - start)
            found.append(result.inliers[true].mean())
        recall.append(float(np.mean(found)))
    pairs = seeds if config.backend == "skimage" else _RANDOM_PAIRS
    false = [
        verifier.estimate(*planted(0.0, 10_000 + seed)[:2]).num_inliers
        for seed in range(pairs)
    ]
    return _Synthetic(
        recall,
        1e3 * float(np.median(seconds)),
        float(np.mean(false)),
        max(false),
    )


def _stores() -> tuple[FeatureStore, FeatureStore]:
    """Extracts the validation landmarks' features, or finds them."""
    demo, work = pathlib.Path(FLAGS.demo), pathlib.Path(FLAGS.work)
    data = demo / "data" / "validation"
    config = load_config("experiments/demo/extract.pbtxt", f"{demo / 'model'}")
    stores = []
    for name in ("query", "index"):
        path = work / f"float32.{name}.arrows"
        if not path.exists():
            items = images_of_dataset(data / "gnd.pkl", data / "jpg", name)
            extract_images(config, items, work / name)
            convert_features(work / name, path, "store")
        stores.append(FeatureStore(path))
    return stores[0], stores[1]


@dataclasses.dataclass
class _Real:
    """mAP by protocol in percent; inliers of pairs without a landmark."""

    scores: list[float]
    false_median: float
    true_median: float
    seconds: float
    # By protocol, of each query in percent.
    precisions: dict[str, np.ndarray]


def _real(
    config: MatchingConfig,
    stores: tuple[FeatureStore, FeatureStore],
    truth: RevisitedGroundTruth,
    results: SearchResults,
) -> _Real:
    counter = InlierCounter(*stores, config)
    start = time.perf_counter()
    reranked = rerank(results, counter)
    seconds = time.perf_counter() - start
    metrics = evaluate_before_and_after(reranked, truth, (1,))
    false, true = [], []
    for row, labels in labels_in_results(reranked, truth, "medium").items():
        inliers = reranked.inliers[row]
        verified = np.zeros(len(inliers), bool)
        # The short list leads whatever was not verified.
        verified[:100] = True
        rest = np.ones(len(inliers), bool)
        rest[labels.positives] = rest[labels.junk] = False
        false.extend(inliers[rest & verified])
        positive = np.zeros(len(inliers), bool)
        positive[labels.positives] = True
        true.extend(inliers[positive & verified])
    return _Real(
        [metrics[name + AFTER_RERANKING]["mAP"] for name in PROTOCOLS],
        float(np.median(false)),
        float(np.median(true)),
        seconds,
        {
            name: np.array(metrics[name + AFTER_RERANKING]["per_query_ap"])
            for name in PROTOCOLS
        },
    )


def _draw(found: dict[str, _Synthetic], path: str) -> None:
    figure = Figure(figsize=(7, 4.2))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, result in found.items():
        style = "--" if "," in name else "-"
        axes.plot(
            100 * np.array(_SHARES),
            100 * np.array(result.recall),
            style,
            marker="o",
            markersize=3,
            label=f"{name}  ({result.milliseconds:.1f} ms)",
        )
    axes.set_xscale("log")
    axes.set_xticks([100 * share for share in _SHARES])
    axes.set_xticklabels([f"{100 * share:g}" for share in _SHARES])
    axes.minorticks_off()
    axes.set_xlabel(f"true inliers, % of {_MATCHES:,} putative matches")
    axes.set_ylabel("true inliers found, %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    with atomic_write(path) as file:
        figure.savefig(file, format=pathlib.Path(path).suffix[1:])


def _synthetic_table(found: dict[str, _Synthetic]) -> str:
    header = ["backend", *(f"{100 * share:g} %" for share in _SHARES)]
    header += ["false, mean", "false, most", "ms a pair"]
    rows = [
        [
            name,
            *(f"{100 * value:.1f}" for value in result.recall),
            f"{result.false_mean:.1f}",
            str(result.false_most),
            f"{result.milliseconds:.2f}",
        ]
        for name, result in found.items()
    ]
    return markdown_table(header, rows)


def _real_table(found: dict[str, _Real]) -> str:
    header = ["verifier", "Easy", "Medium", "Hard"]
    header += ["inliers of positives", "of negatives", "seconds"]
    rows = [
        [
            name,
            *(f"{value:.2f}" for value in result.scores),
            f"{result.true_median:.0f}",
            f"{result.false_median:.0f}",
            f"{result.seconds:.0f}",
        ]
        for name, result in found.items()
    ]
    return markdown_table(header, rows)


def _difference(first: np.ndarray, second: np.ndarray) -> str:
    """Returns the mean of paired differences with its bootstrap interval."""
    change = first.astype(float) - second.astype(float)
    change = change[np.isfinite(change)]
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(change), (_RESAMPLES, len(change)))
    low, high = np.percentile(change[rows].mean(axis=1), [2.5, 97.5])
    return f"{change.mean():.2f} ({low:.2f} to {high:.2f})"


def _difference_table(found: dict[str, _Real]) -> str:
    """Returns how numpy's mAP differs from that of OpenCV's verifiers."""
    rows = [
        [other]
        + [
            _difference(
                found["numpy"].precisions[name], found[other].precisions[name]
            )
            for name in PROTOCOLS
        ]
        for other in ("opencv", "usac")
    ]
    return markdown_table(["numpy minus", "Easy", "Medium", "Hard"], rows)


def main() -> None:
    """Writes the tables and the chart."""
    refuse_existing(FLAGS.output, FLAGS.overwrite)
    refuse_existing(FLAGS.curve, FLAGS.overwrite)
    variants = _variants()
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        synthetic = {
            # The reference takes a quarter of a second a pair.
            name: _synthetic(
                config,
                FLAGS.seeds // (4 if config.backend == "skimage" else 1),
            )
            for name, config in variants.items()
        }
    _draw(synthetic, FLAGS.curve)
    stores = _stores()
    truth = load_ground_truth(
        pathlib.Path(FLAGS.demo, "data", "validation", "gnd.pkl")
    )
    results = search_features(
        index_features(stores[1], truth.index_names),
        stores[0],
        truth.query_names,
    )
    cases = {k: v for k, v in variants.items() if v.backend != "skimage"}
    numpy = variants["numpy"]
    for model in ("similarity", "homography"):
        cases[f"numpy, {model}"] = dataclasses.replace(numpy, model=model)
    real = {
        name: _real(config, stores, truth, results)
        for name, config in cases.items()
    }
    text = (
        "# Results\n\nWritten by `measure.py`; the command is in README.md.\n\n"
        f"True inliers found, in percent, by their share of {_MATCHES:,} "
        f"putative matches; mean of {FLAGS.seeds} motions (skimage: "
        f"{FLAGS.seeds // 4}). False: inliers of {_RANDOM_PAIRS} pairs "
        f"(skimage: {FLAGS.seeds // 4}) of random matches alone. 1,000 "
        "iterations where no number is given. Time: median, of one "
        "processor.\n\n"
        f"{_synthetic_table(synthetic)}\n\n"
        f"![Share of inliers found]({pathlib.Path(FLAGS.curve).name})\n\n"
        "The demonstration's validation landmarks, re-ranked: mAP in percent, "
        "median inliers of pairs in the short lists (Medium protocol), and "
        "seconds for all pairs.\n\n"
        f"{_real_table(real)}\n\n"
        "Differences of mAP with the 95 % interval of a bootstrap over the "
        f"queries ({_RESAMPLES:,} resamples):\n\n"
        f"{_difference_table(real)}\n\n"
        "Which backend is the default, and why: README.md.\n"
    )
    with atomic_write(FLAGS.output, "w") as file:
        file.write(text)
    print(text)


if __name__ == "__main__":
    cli.run(main)
