"""Changes an index and dies at every step that alters the disk, in turn.

For each such step a fork of this process goes through the same changes and
ends there, at once; this process then looks what is left, and lets the next
writer go on. A script of its own, because forks need a process without
threads. The last line is JSON: the number of steps, and what was wrong.
"""

import json
import os
import pathlib
import shutil
import sys

# Before any library starts threads.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from feature_files import unit_features

from delg_tf.common.errors import InputError
from delg_tf.retrieval.index.batches import ImageBatch
from delg_tf.retrieval.index.choice import (
    create_index,
    open_index,
    open_writer,
)
from delg_tf.retrieval.index.settings import IndexSettings

_STEPS = ("fsync", "replace", "rename", "unlink", "rmdir", "mkdir")
_DIED = 42


def _batch(numbers):
    rows = np.eye(8, dtype=np.float32)[[n % 8 for n in numbers]]
    local = [unit_features(3, 16, seed=n) for n in numbers]
    return ImageBatch([f"i{n}" for n in numbers], rows, local, {"n": numbers})


def _change(place):
    """Every kind of change; yields the names after each commit."""
    with open_writer(place) as writer:
        writer.add(_batch([0, 1, 2]))
        writer.commit()
        yield {"i0": 0, "i1": 1, "i2": 2}
        writer.remove(["i1"])
        writer.add(_batch([3]))
        writer.set_metadata(["i0"], {"n": [7]})
        writer.commit()
        yield {"i0": 7, "i2": 2, "i3": 3}
        writer.compact()
        yield {"i0": 7, "i2": 2, "i3": 3}


def _content(place):
    index = open_index(place)
    assert index.verify() == []
    for name in index.names:
        features = unit_features(3, 16, seed=int(name[1:]))
        stored = index.local(name).decode()
        np.testing.assert_array_equal(stored.descriptors, features.descriptors)
    return {name: index.metadata(name)["n"] for name in index.names}


def _die_at(place, step, reached):
    """Goes through the changes and ends before a step; writes how far."""
    count = 0

    def counted(function):
        def call(*arguments, **options):
            nonlocal count
            if count == step:
                os._exit(_DIED)
            count += 1
            return function(*arguments, **options)

        return call

    for name in _STEPS:
        setattr(os, name, counted(getattr(os, name)))
    for commits, _ in enumerate(_change(place), 1):
        reached.write_text(str(commits))


def main(folder):
    """Dies at each step."""
    # A step all the same; but here only processes end, no machines.
    os.fsync = lambda descriptor: None
    states = [{}]
    create_index(folder / "whole", SETTINGS)
    states += _change(folder / "whole")
    assert _content(folder / "whole") == states[-1]
    problems = []
    step = 0
    while True:
        place, reached = folder / f"index{step}", folder / "reached"
        create_index(place, SETTINGS)
        reached.write_text("0")
        child = os.fork()
        if not child:
            try:
                _die_at(place, step, reached)
                os._exit(0)
            except BaseException as error:
                print(error, file=sys.stderr)
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            break
        done = int(reached.read_text())
        try:
            assert status == _DIED, "the writer failed"
            # What it had committed, or what it was about to.
            assert _content(place) in states[done : done + 2], "no known state"
            with open_writer(place) as writer:
                writer.add(_batch([99]))
            assert "i99" in open_index(place)
            named = {f.path for f in open_index(place).snapshot.manifest.files}
            for path in place.rglob("*"):
                name = path.relative_to(place).as_posix()
                assert (
                    not path.is_file()
                    or name in named
                    or name in ("manifest.json", "writer.lock")
                ), f"{name} is left"
        except (AssertionError, InputError) as error:
            problems.append(f"step {step}: {error}")
        shutil.rmtree(place)
        step += 1
    print(json.dumps({"steps": step, "problems": problems}))


SETTINGS = IndexSettings(8, local_format="float32")

if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
