"""Shards and results as files of a folder that all machines share.

What a runner hands from machine to machine is limited (10 MB for a whole job
of Dataflow or Flink); lists of a million images are not.
"""

import contextlib
import os
import pathlib
import pickle
import shutil
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, atomic_write
from delg_tf.parallel.base import Advance, ShardFunction


class Exchange:
    """The folder, as seen from any machine; picklable.

    Args:
        folder: absolute path.
    """

    def __init__(self, folder: PathLike):
        self.folder = pathlib.Path(folder)

    def put_shards(self, shards: Sequence[Any]) -> list[str]:
        """Writes the shards; returns their names."""
        names = [f"{number:06d}" for number in range(len(shards))]
        for name, shard in zip(names, shards):
            with atomic_write(self.folder / f"{name}.shard") as file:
                pickle.dump(shard, file)
        return names

    def run(self, name: str, function: ShardFunction, advance: Advance) -> None:
        """Runs the function over a shard and writes the result.

        Bad input is a result, too: another try would not better it.
        """
        with open(self.folder / f"{name}.shard", "rb") as file:
            shard = pickle.load(file)
        done = 0

        def counted(count: int) -> None:
            nonlocal done
            done += count
            advance(count)

        try:
            result = function(shard, counted)
        except InputError as error:
            result = error
        with atomic_write(self.folder / f"{name}.result") as file:
            pickle.dump((done, result), file)

    def new_results(self, known: dict[str, Any]) -> int:
        """Adds results that have come to `known`; returns their units."""
        units = 0
        for path in sorted(self.folder.glob("*.result")):
            if path.stem not in known:
                with open(path, "rb") as file:
                    done, known[path.stem] = pickle.load(file)
                units += done
        return units


@contextlib.contextmanager
def exchange_folder(parent: PathLike) -> Iterator[Exchange]:
    """A new folder in `parent`, removed at the end."""
    folder = pathlib.Path(os.path.abspath(parent), f".shards-{uuid.uuid4()}")
    folder.mkdir(parents=True)
    try:
        yield Exchange(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
