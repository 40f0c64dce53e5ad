"""Number of inliers between queries and index images, in parallel."""

import concurrent.futures
import functools
import math
import os
from collections.abc import Iterable, Sequence

import faiss
import numpy as np
import threadpoolctl
from absl import logging

from delg_tf.common.progress import Progress
from delg_tf.matching.config import MatchingConfig
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.pair_block import BlockCounts, PairBlock, count_block

# Candidates of a query that a thread takes at a time, at most: enough that
# much is computed together, few enough that threads end together.
_CANDIDATES_A_BLOCK = 16
# Blocks handed to the threads at a time.
_BLOCKS_AT_A_TIME = 128

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
        with Progress(len(new), "Geometric verification", "pair") as progress:
            for block, result in self._run(_blocks(new, self._num_threads)):
                for name, count in zip(block.candidates, result.inliers):
                    self._counts[block.query, name] = count
                self._bad.update(dict.fromkeys(result.problems))
                progress.advance(len(block.candidates), note=block.query)
        for problem in self.problems[known:]:
            logging.warning("Counted as 0 inliers: %s", problem)
        return np.array([self._counts[pair] for pair in pairs], np.int32)

    def _run(
        self, blocks: Sequence[PairBlock]
    ) -> Iterable[tuple[PairBlock, BlockCounts]]:
        """Yields the blocks with their counts, in order."""
        count = functools.partial(
            count_block, self._query_store, self._index_store, self._config
        )
        with (
            # The pairs fill the processors already; threads of each matrix
            # product's own would only compete with them.
            threadpoolctl.threadpool_limits(1, user_api="blas"),
            concurrent.futures.ThreadPoolExecutor(
                self._num_threads, initializer=_search_alone
            ) as pool,
        ):
            for start in range(0, len(blocks), _BLOCKS_AT_A_TIME):
                some = blocks[start : start + _BLOCKS_AT_A_TIME]
                yield from zip(some, pool.map(count, some))


def _search_alone() -> None:
    """Keeps searches of this thread in this thread."""
    # OpenMP's limit is one of the thread that sets it.
    faiss.omp_set_num_threads(1)


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def _blocks(pairs: Iterable[Pair], num_threads: int) -> list[PairBlock]:
    """Groups pairs by their query, in blocks of which each thread gets one."""
    candidates: dict[str, list[str]] = {}
    for query, index in pairs:
        candidates.setdefault(query, []).append(index)
    blocks = []
    for query, names in candidates.items():
        rounds = math.ceil(len(names) / (_CANDIDATES_A_BLOCK * num_threads))
        size = math.ceil(len(names) / (rounds * num_threads))
        blocks += [
            PairBlock(query, tuple(names[start : start + size]))
            for start in range(0, len(names), size)
        ]
    return blocks
