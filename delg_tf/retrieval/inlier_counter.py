"""Number of inliers between queries and index images, in parallel."""

import concurrent.futures
import os
from collections.abc import Iterable, Sequence

import numpy as np
import threadpoolctl
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.progress import Progress
from delg_tf.matching.config import MatchingConfig
from delg_tf.matching.match import match_local_features
from delg_tf.retrieval.feature_store import FeatureStore

# Pairs handed to the threads at a time.
_PAIRS_A_BLOCK = 2048

Pair = tuple[str, str]


class InlierCounter:
    """Verifies pairs of images geometrically, each pair once.

    The count of a pair depends on its two files and the configuration alone,
    so neither the order nor the number of threads changes it.
    """

    def __init__(
        self,
        query_store: FeatureStore,
        index_store: FeatureStore,
        config: MatchingConfig,
        num_threads: int | None = None,
    ):
        """Takes the features and how to match them.

        Args:
            query_store: local features of the queries.
            index_store: local features of the index images.
            config: how pairs are matched.
            num_threads: pairs verified at the same time; None for one a
                processor. NumPy and OpenCV let other threads run meanwhile.
        """
        self._query_store = query_store
        self._index_store = index_store
        self._config = config
        self._num_threads = num_threads or _processors()
        self._counts: dict[Pair, int] = {}
        self._bad: dict[str, None] = {}

    @property
    def problems(self) -> list[str]:
        """Messages about damaged files met so far; their pairs count 0."""
        return list(self._bad)

    def count(self, pairs: Sequence[Pair]) -> np.ndarray:
        """Counts the inliers of pairs of images.

        Args:
            pairs: (query name, index name) of P pairs.

        Returns:
            int32 [P].

        Raises:
            InputError: files of local features are missing.
        """
        new = [
            pair for pair in dict.fromkeys(pairs) if pair not in self._counts
        ]
        self._query_store.require_local(dict.fromkeys(q for q, _ in new))
        self._index_store.require_local(dict.fromkeys(i for _, i in new))
        known = len(self._bad)
        with (
            # The pairs fill the processors already; threads of each matrix
            # product's own would only compete with them.
            threadpoolctl.threadpool_limits(1, user_api="blas"),
            concurrent.futures.ThreadPoolExecutor(self._num_threads) as pool,
            Progress(len(new), "Geometric verification", "pair") as progress,
        ):
            for block in _blocks(new, _PAIRS_A_BLOCK):
                # Results come in order, so the bar moves as they are done.
                for pair, count in zip(block, pool.map(self._verify, block)):
                    self._counts[pair] = count
                    progress.advance(note=pair[0])
        for problem in self.problems[known:]:
            logging.warning("Counted as 0 inliers: %s", problem)
        return np.array([self._counts[pair] for pair in pairs], np.int32)

    def _verify(self, pair: Pair) -> int:
        query_name, index_name = pair
        try:
            query = self._query_store.local_features(query_name)
            index = self._index_store.local_features(index_name)
        except InputError as error:
            # One damaged file must not end the work of hours.
            self._bad.setdefault(str(error))
            return 0
        if not len(query) or not len(index):
            return 0
        if query.depth != index.depth:
            raise InputError(
                f"{self._query_store.local_path(query_name)} has descriptors "
                f"of {query.depth} numbers, "
                f"{self._index_store.local_path(index_name)} of {index.depth}. "
                "Extract both with the same model."
            )
        return match_local_features(query, index, self._config).num_inliers


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def _blocks(pairs: Sequence[Pair], size: int) -> Iterable[Sequence[Pair]]:
    for start in range(0, len(pairs), size):
        yield pairs[start : start + size]
