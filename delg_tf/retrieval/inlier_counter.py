"""Number of inliers between queries and index images, in parallel."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from absl import logging

from delg_tf.common.progress import Progress
from delg_tf.matching.config import MatchingConfig
from delg_tf.retrieval import pair_pool
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.pair_block import BlockCounts, PairBlock

# Candidates of a query that a worker takes at a time, at most: enough that
# much is computed together, few enough that workers end together.
_CANDIDATES_A_BLOCK = 16
# Blocks handed to the workers at a time.
_BLOCKS_AT_A_TIME = 128

Pair = tuple[str, str]


class InlierCounter:
    """Verifies pairs of images geometrically, each pair once.

    The count of a pair depends on its two files and the configuration alone,
    so neither the order nor the number of workers changes it.
    """

    def __init__(
        self,
        query_store: FeatureStore,
        index_store: FeatureStore,
        config: MatchingConfig,
        num_threads: int | None = None,
        num_processes: int | None = None,
    ):
        """Takes the features and how to match them.

        Args:
            query_store: local features of the queries.
            index_store: local features of the index images.
            config: how pairs are matched.
            num_threads: pairs verified at the same time; None for one a
                processor. Numba, NumPy and OpenCV let other threads run
                meanwhile.
            num_processes: processes that verify instead of threads, each a
                pair at a time, with features opened anew; None for threads.
                They are worth their start of some seconds where threads wait
                for Python's lock: on more than a few processors.

        Raises:
            InputError: features that other processes cannot open, see
                `FeatureStore.address`.
        """
        self._query_store = query_store
        self._index_store = index_store
        self._config = config
        self._workers = (
            num_processes or num_threads or pair_pool.num_processors()
        )
        self._pool = pair_pool.threads
        if num_processes:
            self._pool = pair_pool.processes
            for store in (query_store, index_store):
                store.address  # noqa: B018 (raises early)
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
            for block, result in self._run(_blocks(new, self._workers)):
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
        if not blocks:
            return
        with self._pool(
            self._query_store, self._index_store, self._config, self._workers
        ) as count_all:
            for start in range(0, len(blocks), _BLOCKS_AT_A_TIME):
                some = blocks[start : start + _BLOCKS_AT_A_TIME]
                yield from zip(some, count_all(some))


def _blocks(pairs: Iterable[Pair], num_workers: int) -> list[PairBlock]:
    """Groups pairs by their query, in blocks of which each worker gets one."""
    candidates: dict[str, list[str]] = {}
    for query, index in pairs:
        candidates.setdefault(query, []).append(index)
    blocks = []
    for query, names in candidates.items():
        rounds = math.ceil(len(names) / (_CANDIDATES_A_BLOCK * num_workers))
        size = math.ceil(len(names) / (rounds * num_workers))
        blocks += [
            PairBlock(query, tuple(names[start : start + size]))
            for start in range(0, len(names), size)
        ]
    return blocks
