"""The one interface to all ways to run a function over shards."""

import abc
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Result = TypeVar("Result")
Advance = Callable[[int], None]
ShardFunction = Callable[[Any, Advance], Result]


class StoppedError(Exception):
    """Another shard failed, so this one is given up."""


class ShardRunner(abc.ABC):
    """Runs a function over shards.

    Attributes:
        workers: shards that run at a time, as far as is known.
    """

    workers: int

    @abc.abstractmethod
    def run(
        self,
        function: ShardFunction[Result],
        shards: Sequence[Any],
        advance: Advance,
    ) -> list[Result]:
        """Runs the function over all shards.

        Args:
            function: takes a shard, and a function that it calls with the
                number of units (images) it has done since the last call,
                which raises `StoppedError` when the work is to be given up.
                It leaves files, and a second call finds and keeps those of
                the first: a shard may be given to it again after a machine
                was lost. For all but threads it must be importable by name.
            shards: for all but threads they and the results are pickled.
            advance: called in this process, by one thread at a time, with
                the number of units done.

        Returns:
            The results, in the order of the shards.

        Raises:
            ChildProcessError: a worker was lost. What it had finished stays.
            Exception: whatever the function raises; the other shards are
                given up.
        """
