"""Who verifies blocks of pairs: threads of this process, or other processes."""

import concurrent.futures
import contextlib
import functools
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool

import faiss
import threadpoolctl

from delg_tf.matching.config import MatchingConfig
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.pair_block import BlockCounts, PairBlock, count_block

CountBlocks = Callable[[Iterable[PairBlock]], Iterator[BlockCounts]]

# In a process of a pool: counts a block.
_count: Callable[[PairBlock], BlockCounts] | None = None


def num_processors() -> int:
    """Returns how many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


@contextlib.contextmanager
def threads(
    query_store: FeatureStore,
    index_store: FeatureStore,
    config: MatchingConfig,
    number: int,
) -> Iterator[CountBlocks]:
    """Gives a function that counts blocks in threads, results in order."""
    count = functools.partial(count_block, query_store, index_store, config)
    with (
        # The pairs fill the processors already; threads of each matrix
        # product's own would only compete with them.
        threadpoolctl.threadpool_limits(1, user_api="blas"),
        concurrent.futures.ThreadPoolExecutor(
            number, initializer=_search_alone
        ) as pool,
    ):
        yield functools.partial(pool.map, count)


@contextlib.contextmanager
def processes(
    query_store: FeatureStore,
    index_store: FeatureStore,
    config: MatchingConfig,
    number: int,
) -> Iterator[CountBlocks]:
    """Does what `threads` does, in processes that open the stores anew.

    Raises:
        InputError: a store cannot be opened by another process.
        ChildProcessError: a process was lost.
    """
    # Not by fork: threads of libraries would not be there.
    with concurrent.futures.ProcessPoolExecutor(
        number,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(query_store.address, index_store.address, config),
    ) as pool:
        try:
            yield functools.partial(pool.map, _count_here)
        except BrokenProcessPool as error:
            raise ChildProcessError(
                "A process that verifies pairs was lost; perhaps memory was "
                "short. Take a lower --num_processes."
            ) from error


def _search_alone() -> None:
    """Keeps searches of this thread in this thread."""
    # OpenMP's limit is one of the thread that sets it.
    faiss.omp_set_num_threads(1)


def _start(query: str, index: str, config: MatchingConfig) -> None:
    global _count
    threadpoolctl.threadpool_limits(1)
    _search_alone()
    query_store = FeatureStore(query)
    index_store = query_store if query == index else FeatureStore(index)
    _count = functools.partial(count_block, query_store, index_store, config)


def _count_here(block: PairBlock) -> BlockCounts:
    return _count(block)
