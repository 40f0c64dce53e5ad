"""Shards in threads of this process."""

import concurrent.futures
import threading
from collections.abc import Sequence
from typing import Any

from delg_tf.parallel.base import (
    Advance,
    Result,
    ShardFunction,
    ShardRunner,
    StoppedError,
)


class ThreadRunner(ShardRunner):
    """For functions that spend their time outside of the interpreter lock.

    Args:
        workers: shards at a time. One: in this thread, one after the other.
    """

    def __init__(self, workers: int = 1):
        self.workers = workers

    def run(
        self,
        function: ShardFunction[Result],
        shards: Sequence[Any],
        advance: Advance,
    ) -> list[Result]:
        """See `ShardRunner.run`."""
        if self.workers == 1:
            return [function(shard, advance) for shard in shards]
        stop, lock = threading.Event(), threading.Lock()

        def counted(count: int) -> None:
            if stop.is_set():
                raise StoppedError
            with lock:
                advance(count)

        with concurrent.futures.ThreadPoolExecutor(self.workers) as pool:
            futures = [
                pool.submit(function, shard, counted) for shard in shards
            ]
            try:
                for future in concurrent.futures.as_completed(futures):
                    future.result()
            except BaseException:
                stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return [future.result() for future in futures]
