"""Shards in processes of this machine."""

import concurrent.futures
import concurrent.futures.process
import multiprocessing
from collections.abc import Sequence
from typing import Any

from delg_tf.parallel import worker
from delg_tf.parallel.base import Advance, Result, ShardFunction, ShardRunner
from delg_tf.parallel.machine import shares

# Seconds between two looks at the counts.
_INTERVAL = 0.2


class ProcessRunner(ShardRunner):
    """A pool of processes, each with its share of processors, or its GPU.

    Processes are started afresh: TensorFlow does not survive a fork.

    Args:
        workers: processes.
    """

    def __init__(self, workers: int):
        self.workers = workers

    def run(
        self,
        function: ShardFunction[Result],
        shards: Sequence[Any],
        advance: Advance,
    ) -> list[Result]:
        """See `ShardRunner.run`."""
        context = multiprocessing.get_context("spawn")
        workers = max(1, min(self.workers, len(shards)))
        counts = context.RawArray("q", workers)
        stop = context.RawValue("b", 0)
        with concurrent.futures.ProcessPoolExecutor(
            workers,
            context,
            worker.initialise,
            (context.Value("i", 0), shares(workers), counts, stop),
        ) as pool:
            try:
                futures = [
                    pool.submit(worker.call, function, shard)
                    for shard in shards
                ]
                _wait(futures, counts, advance)
            except concurrent.futures.process.BrokenProcessPool as error:
                raise ChildProcessError(
                    f"One of {workers} worker processes was lost: killed, or "
                    "out of memory. What is finished is kept; start again, "
                    "with fewer workers if memory was short."
                ) from error
            except BaseException:
                stop.value = 1
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return [future.result() for future in futures]


def _wait(
    futures: Sequence[concurrent.futures.Future],
    counts: Any,
    advance: Advance,
) -> None:
    """Waits for all; raises the first error."""
    pending, shown = set(futures), 0
    while pending:
        done, pending = concurrent.futures.wait(
            pending, _INTERVAL, concurrent.futures.FIRST_COMPLETED
        )
        total = sum(counts)
        if total > shown:
            advance(total - shown)
            shown = total
        for future in done:
            future.result()
