"""Functions over shards, without TensorFlow; workers import them by name."""

import os
import pathlib
import signal
import time

from delg_tf.common.errors import InputError


def write_files(shard, advance):
    """Writes a file for each name, and a line whenever it does.

    `shard`: (folder, names, seconds to take for each).
    """
    folder, names, seconds = shard
    log = pathlib.Path(folder, "log")
    for name in names:
        path = pathlib.Path(folder, name)
        if not path.exists():
            time.sleep(seconds)
            path.touch()
            with open(log, "a") as file:
                file.write(f"{name} {os.getpid()}\n")
        advance(1)
    return len(names), os.getpid()


def refuse(shard, advance):
    raise InputError(f"{shard} is wrong")


def break_down(shard, advance):
    raise OSError("the disk is full")


def be_killed(shard, advance):
    os.kill(os.getpid(), signal.SIGKILL)


def cores(shard, advance):
    """The processor numbers of a process that does `shard[1]` of two alone."""
    folder, number = shard
    (folder / f"{number}").touch()
    while not (folder / f"{1 - number}").exists():
        time.sleep(0.01)
    return os.sched_getaffinity(0)
