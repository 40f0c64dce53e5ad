"""Re-ranking 100 candidates of 1,000 features: the official way and ours.

* official: as image_reranking.py does it. For every pair both files are parsed,
  feature by feature; neighbours come from SciPy's cKDTree with a bound of the
  distance, the affine motion from scikit-image's RANSAC, 1,000 trials. It takes
  half a minute a query, so each round times some pairs and multiplies.
* ours: `InlierCounter` with its defaults, on all processors, from a single-file
  store that is opened anew for each query. The files are in the system's cache,
  nothing is decoded beforehand.

See README.md here for the command and what it gave.
"""

import dataclasses
import json
import pathlib
import tempfile
import time

import numpy as np
import threadpoolctl
from absl import flags
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.spatial import cKDTree
from skimage.measure import ransac
from skimage.transform import AffineTransform
from verification_data import SHARES, Candidate, make_query

from delg_tf.common import cli
from delg_tf.common.files import atomic_write
from delg_tf.features.compact.store_info import StoreInfo
from delg_tf.features.feature_io import write_local_features
from delg_tf.features.local_features import LocalFeatures
from delg_tf.features.storage.choice import open_sink
from delg_tf.matching.config import BACKENDS, MatchingConfig
from delg_tf.matching.match import match_local_features
from delg_tf.protos import feature_pb2
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.inlier_counter import InlierCounter

FLAGS = flags.FLAGS
flags.DEFINE_integer("rounds", 5, "Queries, each timed every way.")
flags.DEFINE_integer("candidates", 100, "Candidates of a query.")
flags.DEFINE_integer("official_pairs", 20, "Pairs a round, the official way.")
flags.DEFINE_string("curve", None, "Chart to write (.svg, .png).")
flags.DEFINE_bool("quick", False, "A round of few pairs, to see that it runs.")
flags.DEFINE_bool("json", False, "Print the figures as JSON in the last line.")

# Runs of ours a round, of which the median counts: each takes but a moment.
_REPEATS = 5
_FORMATS = {"float": "float32", "binary": "binary"}


@dataclasses.dataclass
class _Found:
    """True inliers found of those planted, by pair; inliers of unrelated."""

    recall: list[float]
    false: list[int]

    def add(self, candidate: Candidate, inliers: np.ndarray) -> None:
        """Counts a pair's inliers [N, 2], (query feature, index feature)."""
        if not candidate.share:
            self.false.append(len(inliers))
            return
        true = set(map(tuple, candidate.true.tolist()))
        found = true.intersection(map(tuple, inliers.tolist()))
        self.recall.append(len(found) / len(true))


def _parse(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns locations and descriptors, as the official feature_io reads."""
    message = feature_pb2.DelfFeatures()
    message.ParseFromString(path.read_bytes())
    count = len(message.feature)
    depth = len(message.feature[0].descriptor.float_list.value)
    locations, descriptors = np.zeros((count, 2)), np.zeros((count, depth))
    rest = np.zeros((count, 3))
    for row, feature in enumerate(message.feature):
        locations[row] = feature.y, feature.x
        descriptors[row] = np.array(
            feature.descriptor.float_list.value, np.float32
        ).reshape(feature.descriptor.shape.dim)
        rest[row] = feature.scale, feature.strength, feature.orientation
    return locations, descriptors


def _official(query: pathlib.Path, index: pathlib.Path) -> np.ndarray:
    """Returns the inliers of two files, [N, 2]."""
    query_locations, query_descriptors = _parse(query)
    index_locations, index_descriptors = _parse(index)
    _, nearest = cKDTree(index_descriptors).query(
        query_descriptors, distance_upper_bound=1.0
    )
    rows = np.flatnonzero(nearest < len(index_descriptors))
    matches = np.stack([rows, nearest[rows]], axis=1)
    if len(matches) < 4:
        return matches[:0]
    _, inliers = ransac(
        (index_locations[matches[:, 1]], query_locations[matches[:, 0]]),
        AffineTransform,
        min_samples=3,
        residual_threshold=20.0,
        max_trials=1000,
        rng=0,
    )
    return matches[:0] if inliers is None else matches[inliers]


def _store(
    folder: pathlib.Path,
    kind: str,
    query: LocalFeatures,
    candidates: list[Candidate],
) -> pathlib.Path:
    path = folder / f"{kind}.arrows"
    with open_sink(path, "store", StoreInfo(_FORMATS[kind], None)) as sink:
        sink.write("query", None, query)
        for candidate in candidates:
            sink.write(candidate.name, None, candidate.features)
    return path


def _ours(path: pathlib.Path, candidates: list[Candidate]) -> float:
    """Returns the seconds of a query."""
    start = time.perf_counter()
    store = FeatureStore(path)
    counter = InlierCounter(store, store, MatchingConfig())
    counter.count([("query", candidate.name) for candidate in candidates])
    return time.perf_counter() - start


def _round(number: int, found: dict[str, _Found]) -> dict[str, float]:
    """Returns the seconds of a query by way; adds to what is found."""
    query, candidates = make_query(number, FLAGS.candidates)
    seconds = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        query_file = folder / "query.delg_local"
        write_local_features(query_file, query)
        # Other shares each round, in the proportion of all candidates.
        count = min(FLAGS.official_pairs, len(candidates))
        first = number * count % (len(candidates) - count + 1)
        some = candidates[first // 5 * 5 :][:count]
        for candidate in some:
            write_local_features(
                folder / f"{candidate.name}.delg_local", candidate.features
            )
        start = time.perf_counter()
        inliers = [
            _official(query_file, folder / f"{candidate.name}.delg_local")
            for candidate in some
        ]
        taken = time.perf_counter() - start
        seconds["official"] = taken * len(candidates) / count
        for candidate, pairs in zip(some, inliers, strict=True):
            found["official"].add(candidate, pairs)
        for kind in _FORMATS:
            path = _store(folder, kind, query, candidates)
            _ours(path, candidates)  # Files are in the cache then.
            seconds[kind] = float(
                np.median([_ours(path, candidates) for _ in range(_REPEATS)])
            )
            store = FeatureStore(path)
            prepared = store.matchable_features("query")
            for candidate in some:
                match = match_local_features(
                    prepared,
                    store.matchable_features(candidate.name),
                    MatchingConfig(),
                )
                found[kind].add(candidate, match.putative[match.inliers])
    return seconds


def _draw(path: str) -> None:
    """Draws the share of true inliers found by each backend."""
    figure = Figure(figsize=(7, 4.2))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    count = 10 if FLAGS.quick else FLAGS.candidates
    queries = [make_query(100 + n, count) for n in range(FLAGS.rounds)]
    for backend in BACKENDS:
        found = {share: _Found([], []) for share in SHARES}
        for query, candidates in queries:
            for candidate in candidates:
                if candidate.share:
                    match = match_local_features(
                        query,
                        candidate.features,
                        MatchingConfig(backend=backend),
                    )
                    found[candidate.share].add(
                        candidate, match.putative[match.inliers]
                    )
        shares = [share for share in SHARES if found[share].recall]
        recall = [100 * np.mean(found[share].recall) for share in shares]
        percent = [100 * share for share in shares]
        axes.plot(percent, recall, marker="o", markersize=3, label=backend)
    axes.set_xscale("log")
    axes.set_xticks(percent)
    axes.set_xticklabels([f"{value:g}" for value in percent])
    axes.minorticks_off()
    axes.set_xlabel("true matches, % of putative matches")
    axes.set_ylabel("true matches found, %")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    with atomic_write(path) as file:
        figure.savefig(file, format=pathlib.Path(path).suffix[1:])


def _kernels() -> str:
    """Returns the processor for which OpenBLAS has made NumPy's products."""
    for library in threadpoolctl.threadpool_info():
        if "numpy.libs" in library["filepath"]:
            return f"{library['internal_api']} for {library['architecture']}"
    return "unknown"


def main() -> None:
    """Measures and prints."""
    if FLAGS.quick:
        FLAGS.rounds, FLAGS.candidates, FLAGS.official_pairs = 1, 10, 5
    ways = ("official", *_FORMATS)
    found = {way: _Found([], []) for way in ways}
    rounds = [_round(number, found) for number in range(FLAGS.rounds)]
    seconds = {
        way: float(np.median([times[way] for times in rounds])) for way in ways
    }
    recall = {way: float(np.mean(found[way].recall)) for way in ways}
    false = {way: float(np.mean(found[way].false)) for way in ways}
    for way in ways:
        print(
            f"{way}: {seconds[way]:.3f} s a query of {FLAGS.candidates}, "
            f"recall {recall[way]:.3f}, inliers of unrelated images: mean "
            f"{false[way]:.1f}, most {max(found[way].false)}"
        )
    print(f"NumPy's matrix products: {_kernels()}")
    if FLAGS.curve:
        _draw(FLAGS.curve)
    if FLAGS.json:
        figures = {
            f"speedup_{kind}": round(seconds["official"] / seconds[kind], 1)
            for kind in _FORMATS
        }
        figures |= {
            "recall_ratio": round(recall["float"] / recall["official"], 4),
            "recall_ratio_binary": round(
                recall["binary"] / recall["official"], 4
            ),
            "seconds_per_query": round(seconds["float"], 4),
            "seconds_per_query_binary": round(seconds["binary"], 4),
            "seconds_per_query_official": round(seconds["official"], 2),
            "false_inliers": {way: round(false[way], 2) for way in ways},
            "false_inliers_most": {way: max(found[way].false) for way in ways},
            "recall": {way: round(recall[way], 4) for way in ways},
            "matrix_products": _kernels(),
            "rounds": FLAGS.rounds,
            "candidates": FLAGS.candidates,
        }
        print(json.dumps(figures))


if __name__ == "__main__":
    cli.run(main)
