"""Every option of ranking, on the demonstration's features.

Parameters are chosen on the validation landmarks, whose features are extracted
here, by mAP Medium before geometric re-ranking. Then each option is measured on
the held-out landmarks. See README.md here for the command.
"""

import dataclasses
import itertools
import pathlib
import time
from collections.abc import Sequence

import numpy as np
from absl import flags

from delg_tf.common import cli
from delg_tf.common.files import atomic_write, refuse_existing
from delg_tf.data.revisited import (
    PROTOCOLS,
    RevisitedGroundTruth,
    load_ground_truth,
)
from delg_tf.evaluation.revisited import evaluate
from delg_tf.extraction.config import load_config
from delg_tf.extraction.image_list import images_of_dataset
from delg_tf.extraction.run import extract_images
from delg_tf.matching.config import MatchingConfig
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.inlier_counter import InlierCounter
from delg_tf.retrieval.ranking.config import (
    DatabaseAugmentation,
    Diffusion,
    KReciprocal,
    QueryExpansion,
    RankingConfig,
)
from delg_tf.retrieval.ranking.pipeline import Ranker
from delg_tf.retrieval.recognition.votes import (
    RecognitionConfig,
    image_scores,
    predict_classes,
)
from delg_tf.retrieval.rerank import rerank
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.search import index_features, query_descriptors
from delg_tf.retrieval.text_table import markdown_table

FLAGS = flags.FLAGS
flags.DEFINE_string("demo", "demo", "Working folder of tools/run_demo.py.")
flags.DEFINE_string(
    "validation_features",
    None,
    "Folder for features of the validation landmarks; what is there is kept.",
)
flags.DEFINE_string("output", None, "Markdown file to write.")
flags.DEFINE_bool("overwrite", False, "Replace --output.")
flags.mark_flags_as_required(["validation_features", "output"])

_RERANKED = 100
_VOTES = (1, 3, 5, 10, 30, 100)


class _Landmarks:
    """Queries, index and ground truth of one group of landmarks."""

    def __init__(self, truth: pathlib.Path, features: pathlib.Path):
        self.truth: RevisitedGroundTruth = load_ground_truth(truth)
        stores = [FeatureStore(features / name) for name in ("query", "index")]
        self.index = index_features(stores[1], self.truth.index_names)
        self.names, self.queries = query_descriptors(
            self.index, stores[0], self.truth.query_names
        )
        # Remembers pairs, so each is verified once for all options.
        self.counter = InlierCounter(*stores, MatchingConfig())

    def rank(self, config: RankingConfig) -> tuple[SearchResults, float]:
        """Returns lists, and seconds: all of them, for all queries."""
        if config.query_expansion and config.query_expansion.min_inliers:
            # The time of verification is not that of the option.
            self.reranked(self.rank(RankingConfig())[0])
        start = time.perf_counter()
        ranker = Ranker(self.index, config)
        results = ranker.rank(
            self.names, self.queries, None, self.counter, _RERANKED
        )
        return results, time.perf_counter() - start

    def reranked(self, results: SearchResults) -> SearchResults:
        """Re-ranks geometrically."""
        return rerank(results, self.counter, _RERANKED)

    def quality(self, results: SearchResults) -> list[float]:
        """Returns mAP Easy, Medium and Hard in percent."""
        metrics = evaluate(results, self.truth, (1,))
        return [metrics[protocol]["mAP"] for protocol in PROTOCOLS]

    def recognised(self, results: SearchResults, votes: int) -> float:
        """Returns the share of queries whose landmark is named, in percent."""
        classes = {name: i for i, name in enumerate(self._landmarks())}
        labels = np.array(
            [classes.get(_landmark(name), -1) for name in self.index.names]
        )
        top = results.first(votes)
        scores = image_scores(
            top.similarities, top.inliers, RecognitionConfig(votes)
        )
        named, _ = predict_classes(scores, labels[top.ranks])
        right = [classes[_landmark(name)] for name in self.names]
        return 100 * float(np.mean(named == right))

    def _landmarks(self) -> list[str]:
        return sorted({_landmark(name) for name in self.names})


def _landmark(name: str) -> str:
    return pathlib.PurePath(name).name.split("_")[0]


def _grid() -> dict[str, list[RankingConfig]]:
    """Returns the candidates of each option."""

    def product(field: str, kind: type, **values: Sequence) -> list:
        return [
            RankingConfig(**{field: kind(**dict(zip(values, combination)))})
            for combination in itertools.product(*values.values())
        ]

    images = (1, 2, 3, 5, 8, 12)
    expansion = ("query_expansion", QueryExpansion)
    return {
        "average query expansion": product(*expansion, images=images),
        "alpha query expansion": product(
            *expansion, images=images, alpha=(1.0, 2.0, 3.0, 5.0, 8.0)
        ),
        "average query expansion, verified": product(
            *expansion, images=images, min_inliers=(10, 20, 30, 50, 70, 100)
        ),
        "database augmentation": product(
            "database_augmentation",
            DatabaseAugmentation,
            images=images,
            alpha=(0.0, 1.0, 3.0, 5.0),
        ),
        "diffusion": product(
            "diffusion",
            Diffusion,
            neighbours=(5, 10, 20, 50),
            query_neighbours=(1, 3, 5, 10, 20),
            damping=(0.3, 0.5, 0.8, 0.9, 0.99),
            power=(1.0, 3.0, 5.0, 8.0),
        ),
        "k-reciprocal": product(
            "k_reciprocal",
            KReciprocal,
            k1=(3, 5, 10, 20, 30),
            k2=(1, 3, 6),
            weight=(0.0, 0.1, 0.3, 0.5, 0.7),
        ),
    }


def _choose(landmarks: _Landmarks) -> dict[str, RankingConfig]:
    """Returns the best candidate of each option; of equal ones the first."""
    chosen = {"search alone": RankingConfig()}
    for name, candidates in _grid().items():
        medium = [
            landmarks.quality(landmarks.rank(config)[0])[1]
            for config in candidates
        ]
        chosen[name] = candidates[int(np.argmax(medium))]
    augmented = chosen["database augmentation"]
    expanded = chosen["alpha query expansion"]
    # Each with its own parameters: combinations are not tuned.
    chosen["augmentation, alpha expansion"] = dataclasses.replace(
        augmented, query_expansion=expanded.query_expansion
    )
    for name, field in (
        ("diffusion", "diffusion"),
        ("k-reciprocal", "k_reciprocal"),
    ):
        method = {field: getattr(chosen[name], field)}
        chosen[f"alpha expansion, {name}"] = dataclasses.replace(
            expanded, **method
        )
    return chosen


def _table(landmarks: _Landmarks, chosen: dict[str, RankingConfig]) -> str:
    rows = []
    for name, config in chosen.items():
        results, seconds = landmarks.rank(config)
        values = [
            *landmarks.quality(results),
            *landmarks.quality(landmarks.reranked(results)),
        ]
        rows.append(
            [
                name,
                *(f"{value:.2f}" for value in values),
                f"{1000 * seconds / len(landmarks.names):.2f}",
            ]
        )
    header = ["ranking", "E", "M", "H"]
    header += [f"{p}, re-ranked" for p in ("E", "M", "H")] + ["ms a query"]
    return markdown_table(header, rows)


def _parameters(chosen: dict[str, RankingConfig]) -> str:
    rows = []
    for name, config in chosen.items():
        values = [
            f"{field}={value:g}"
            for part in dataclasses.asdict(config).values()
            for field, value in (part or {}).items()
            if field not in ("depth", "tolerance")
        ]
        rows.append([name, ", ".join(values)])
    return markdown_table(["ranking", "parameters"], rows)


def _recognition(validation: _Landmarks, held_out: _Landmarks) -> str:
    rows = []
    for name in ("cosines", "inliers and cosines"):
        shares = []
        for landmarks in (validation, held_out):
            results = landmarks.rank(RankingConfig())[0]
            if name != "cosines":
                results = landmarks.reranked(results)
            shares.append([landmarks.recognised(results, k) for k in _VOTES])
        best = _VOTES[int(np.argmax(shares[0]))]
        rows += [
            [f"{name}, {group}", *(f"{share:.1f}" for share in values), text]
            for group, values, text in zip(
                ("validation", "held out"), shares, (f"best: {best}", "")
            )
        ]
    return markdown_table(["votes by", *map(str, _VOTES), "votes"], rows)


def _load() -> tuple[_Landmarks, _Landmarks]:
    demo = pathlib.Path(FLAGS.demo)
    data = demo / "data" / "validation"
    features = pathlib.Path(FLAGS.validation_features)
    config = load_config("experiments/demo/extract.pbtxt", str(demo / "model"))
    for name in ("query", "index"):
        items = images_of_dataset(data / "gnd.pkl", data / "jpg", name)
        extract_images(config, items, features / name)
    return (
        _Landmarks(data / "gnd.pkl", features),
        _Landmarks(demo / "data" / "held_out" / "gnd.pkl", demo / "features"),
    )


def main() -> None:
    """Chooses, measures, and writes the file."""
    output = refuse_existing(FLAGS.output, FLAGS.overwrite)
    validation, held_out = _load()
    chosen = _choose(validation)
    text = f"""# What came out

mAP in percent, Easy / Medium / Hard; written by `measure.py`.

## Chosen on the validation landmarks

{_parameters(chosen)}

{_table(validation, chosen)}

## Held-out landmarks

{_table(held_out, chosen)}

## Recognition

Share of the queries whose landmark is named, in percent, by the number of
images that vote; distractors have no label.

{_recognition(validation, held_out)}
"""
    with atomic_write(output, "w") as file:
        file.write(text)
    print(text)


if __name__ == "__main__":
    cli.run(main)
