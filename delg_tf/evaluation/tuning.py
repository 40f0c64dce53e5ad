"""The settings of matching that suit local features, found on validation data.

Features differ in the distances of their descriptors and in the accuracy of
their places, so the paper's table 5 compares each under settings of its own.
They are chosen here on other landmarks than those that are reported.
"""

import dataclasses
import itertools
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, read_json, write_json
from delg_tf.common.progress import Progress
from delg_tf.data.revisited import PROTOCOLS, RevisitedGroundTruth
from delg_tf.evaluation.revisited import evaluate
from delg_tf.matching.config import MatchingConfig
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.rerank import RerankConfig, rerank_features
from delg_tf.retrieval.results import SearchResults

SEARCHES = ("stages", "grid")
Scores = Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class TuningGrid:
    """The settings to choose from.

    Attributes:
        distances: largest distances of descriptors.
        ratios: ratios of the ratio test, which takes the distances' place.
        mutual: whether matches must be mutual.
        residuals: largest residuals of inliers, pixels.

    Raises:
        InputError: there is nothing to choose from.
    """

    distances: tuple[float, ...] = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
    ratios: tuple[float, ...] = (0.8, 0.9, 0.95)
    mutual: tuple[bool, ...] = (False, True)
    residuals: tuple[float, ...] = (5.0, 10.0, 20.0, 40.0)

    def __post_init__(self) -> None:
        tests = self.distances or self.ratios
        if not (tests and self.mutual and self.residuals):
            raise InputError(
                "The grid is empty: it needs distances or ratios, a value of "
                "mutual, and residuals."
            )

    def tests(self, base: MatchingConfig) -> list[MatchingConfig]:
        """Returns every way to match, with the residual of `base`."""
        ways = [
            {
                "descriptor_distance": value,
                "binary_distance": value,
                "ratio_test": None,
            }
            for value in self.distances
        ]
        ways += [
            {
                "descriptor_distance": None,
                "binary_distance": None,
                "ratio_test": value,
            }
            for value in self.ratios
        ]
        return [
            dataclasses.replace(base, mutual=mutual, **way)
            for mutual, way in itertools.product(self.mutual, ways)
        ]

    def with_residuals(self, config: MatchingConfig) -> list[MatchingConfig]:
        """Returns a configuration with each of the residuals."""
        return [
            dataclasses.replace(config, residual_threshold=value)
            for value in self.residuals
        ]


@dataclasses.dataclass(frozen=True)
class Trial:
    """A configuration and what it gave.

    Attributes:
        config: how pairs were matched.
        scores: mAP in percent by protocol, after re-ranking.
    """

    config: MatchingConfig
    scores: Scores

    def mean(self, protocols: Sequence[str]) -> float:
        """Returns the mean mAP of protocols; of those that have queries."""
        return float(np.nanmean([self.scores[name] for name in protocols]))


class ReRankingScorer:
    """Re-ranks one global search under different settings.

    Args:
        ground_truth: of the validation landmarks.
        results: of the global search; the same for all features.
        stores: local features of the queries and of the index images.
        num_to_rerank: length of the short list.
        num_threads: see `RerankConfig`.
    """

    def __init__(
        self,
        ground_truth: RevisitedGroundTruth,
        results: SearchResults,
        stores: tuple[FeatureStore, FeatureStore],
        num_to_rerank: int = 100,
        num_threads: int | None = None,
    ):
        self._ground_truth = ground_truth
        self._results = results
        self._stores = stores
        self._options = (num_to_rerank, num_threads)

    def __call__(self, config: MatchingConfig) -> Scores:
        """Returns mAP in percent by protocol.

        Raises:
            InputError: feature files are missing.
        """
        reranked = rerank_features(
            self._results, *self._stores, RerankConfig(config, *self._options)
        )
        metrics = evaluate(reranked, self._ground_truth, (1,))
        return {name: float(metrics[name]["mAP"]) for name in PROTOCOLS}


def tune(
    score: Callable[[MatchingConfig], Scores],
    grid: TuningGrid,
    base: MatchingConfig,
    protocols: Sequence[str] = ("medium", "hard"),
    search: str = "stages",
    record: PathLike | None = None,
    inputs: Mapping | None = None,
) -> list[Trial]:
    """Tries configurations, and ranks them.

    Args:
        score: returns mAP by protocol of a configuration.
        grid: the settings to choose from.
        base: all other settings.
        protocols: the mean of their mAP decides.
        search: "grid" tries every combination. "stages" first tries all tests
            under the residual of `base`, then all residuals with the best.
        record: JSON file in which trials are noted as they are done; those
            that it has are not done again.
        inputs: what scores depend on beside the configuration, as JSON holds
            it; a record of other inputs is refused.

    Returns:
        Trials by falling mean; of equal ones the one tried first is first.

    Raises:
        InputError: the record is of other inputs, or `score` raises it.
        ValueError: an unknown search or protocol.
    """
    if search not in SEARCHES or not set(protocols) <= set(PROTOCOLS):
        raise ValueError(
            f"`search` must be one of {SEARCHES} and `protocols` of "
            f"{PROTOCOLS}. Received: {search!r} and {protocols!r}."
        )
    trials = _Trials(score, record, inputs or {}, base)

    def best(found: list[Trial]) -> list[Trial]:
        # A stable sort.
        return sorted(found, key=lambda trial: -trial.mean(protocols))

    tests = grid.tests(base)
    if search == "grid":
        # Residuals last, as in the second stage.
        pairs = (c for test in tests for c in grid.with_residuals(test))
        return best(trials.run(list(pairs)))
    first = best(trials.run(tests))
    others = [
        config
        for config in grid.with_residuals(first[0].config)
        if config != first[0].config
    ]
    return best(first + list(trials.run(others)))


class _Trials:
    """Scores configurations, each once."""

    def __init__(
        self,
        score: Callable[[MatchingConfig], Scores],
        record: PathLike | None,
        inputs: Mapping,
        base: MatchingConfig,
    ):
        self._score = score
        self._record = record and pathlib.Path(record)
        self._inputs = {**inputs, "matching": dataclasses.asdict(base)}
        self._known: dict[str, Scores] = {}
        if self._record and self._record.exists():
            self._known = self._read()

    def run(self, configs: Sequence[MatchingConfig]) -> list[Trial]:
        """Returns a trial of each configuration, in their order."""
        todo = [c for c in configs if describe(c) not in self._known]
        done = len(configs) - len(todo)
        with Progress(len(configs), "Tuning", "setting", done) as progress:
            for config in todo:
                self._known[describe(config)] = self._score(config)
                if self._record:
                    self._write()
                progress.advance()
        return [Trial(c, self._known[describe(c)]) for c in configs]

    def _write(self) -> None:
        # JSON has no NaN, which a protocol without queries gives.
        trials = {
            name: {k: None if math.isnan(v) else v for k, v in scores.items()}
            for name, scores in self._known.items()
        }
        write_json(self._record, {"inputs": self._inputs, "trials": trials})

    def _read(self) -> dict[str, Scores]:
        content = read_json(self._record)
        try:
            found = content["inputs"]
            trials = {
                name: {
                    k: math.nan if scores[k] is None else scores[k]
                    for k in PROTOCOLS
                }
                for name, scores in content["trials"].items()
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{self._record} is no record of tuning. Remove it."
            ) from error
        if found != self._inputs:
            raise InputError(
                f"{self._record} is of other features or settings. Choose "
                "another folder, or remove it."
            )
        return trials


def describe(config: MatchingConfig) -> str:
    """Returns what tuning varies in a few words."""
    if config.ratio_test is None:
        test = f"distance {config.descriptor_distance:g}"
    else:
        test = f"ratio {config.ratio_test:g}"
    mutual = ", mutual" if config.mutual else ""
    return f"{test}{mutual}, residual {config.residual_threshold:g}"
