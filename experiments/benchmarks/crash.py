"""Kills a writer of an index at random moments, and looks what is left.

A process adds, replaces, removes and compacts, in random order, with local
features and metadata. Before each commit it notes in a journal what the index
is to hold, after it that it was done. It is killed by SIGKILL; then this
process opens the index, has all checksums verified, and compares every image
with what the journal says. The next writer goes on with the same index.

See README.md here for the command and what it gave.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import flags, logging

from delg_tf.common import cli
from delg_tf.common.errors import InputError
from delg_tf.features.local_features import LocalFeatures
from delg_tf.retrieval.index.base import IndexWriter
from delg_tf.retrieval.index.batches import ImageBatch
from delg_tf.retrieval.index.choice import (
    create_index,
    open_index,
    open_writer,
)
from delg_tf.retrieval.index.settings import IndexSettings
from delg_tf.retrieval.vectors.options import VectorOptions

FLAGS = flags.FLAGS
flags.DEFINE_integer("kills", 100, "How often the writer is killed.")
flags.DEFINE_bool("quick", False, "Five kills.")
flags.DEFINE_string("kind", "float32", "Kind of global descriptors.")
flags.DEFINE_integer("seed", 0, "Of the changes and the moments.")
flags.DEFINE_bool("json", False, "Print the figures as JSON in the last line.")
flags.DEFINE_string("write", None, "Used by the program itself: the folder.")

_DIMENSION = 32
_LOCAL_DEPTH = 16
# Images of the index, at most.
_NAMES = [f"folder/{number}" for number in range(300)]
# Longest life of a writer that is ready.
_SECONDS = 0.5

# The version of each image.
State = dict[str, int]


def features(name: str, version: int) -> tuple[np.ndarray, LocalFeatures]:
    """Returns what a version of an image has."""
    rng = np.random.default_rng([_NAMES.index(name), version])
    vector = rng.normal(size=_DIMENSION).astype(np.float32)
    # Some are too small to have a descriptor.
    vector *= version % 7 != 0
    count = version % 20
    local = LocalFeatures(
        locations=rng.uniform(0, 500, (count, 2)),
        descriptors=rng.normal(size=(count, _LOCAL_DEPTH)),
        scales=np.ones(count),
        attention=np.ones(count),
        orientations=np.zeros(count),
    )
    return vector / (np.linalg.norm(vector) or 1), local


def batch(names: list[str], version: int) -> ImageBatch:
    """Makes a batch of one version of images."""
    found = [features(name, version) for name in names]
    return ImageBatch(
        names,
        np.stack([vector for vector, _ in found]),
        [local for _, local in found],
        {
            "version": [version] * len(names),
            "text": [f"{name} {version}" for name in names],
        },
    )


class Journal:
    """Lines of JSON, each on the disk before the next thing happens."""

    def __init__(self, folder: pathlib.Path):
        self._path = folder / "journal"

    def write(self, line: object) -> None:
        """Appends a line."""
        with open(self._path, "ab") as file:
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def possible(self) -> tuple[list[State], bool]:
        """Returns the states that may be; whether a commit was under way."""
        states: list[State] = [{}]
        under_way = False
        # What is behind the last end of line was not written to its end.
        for line in self._path.read_bytes().split(b"\n")[:-1]:
            under_way = line != b'"done"'
            states = [states[-1]]
            if under_way:
                states.append(json.loads(line))
        return states, under_way

    def restart(self, state: State) -> None:
        """Begins anew with a known state."""
        self._path.unlink(missing_ok=True)
        self.write(state)
        self.write("done")


def write_forever(folder: pathlib.Path) -> None:
    """Changes the index until killed."""
    rng = random.Random(time.time_ns())
    journal = Journal(folder)
    (state,), _ = journal.possible()
    version = max(state.values(), default=0)
    with open_writer(folder / "index") as writer:
        print("ready", flush=True)
        while True:
            version += 1
            if rng.random() < 0.15:
                journal.write(state)
                writer.compact()
            else:
                for _ in range(rng.randint(1, 3)):
                    change(writer, state, version, rng)
                journal.write(state)
                writer.commit()
            journal.write("done")


def change(
    writer: IndexWriter, state: State, version: int, rng: random.Random
) -> None:
    """Makes one change in the writer and in the state that it should give."""
    absent = [name for name in _NAMES if name not in state]
    present = list(state)
    count = rng.randint(1, 40)
    kind = rng.choice(["add", "add", "update", "remove"])
    if kind == "add" and absent:
        names = rng.sample(absent, min(count, len(absent)))
        writer.add(batch(names, version))
    elif kind == "update" and present:
        names = rng.sample(present, min(count, len(present)))
        writer.update(batch(names, version))
    elif kind == "remove" and present:
        names = rng.sample(present, min(count, len(present)))
        writer.remove(names)
        for name in names:
            del state[name]
        return
    else:
        return
    state.update(dict.fromkeys(names, version))


def check(folder: pathlib.Path) -> tuple[State, str, bool]:
    """Looks at the index.

    Returns:
        The state, what is wrong ("" if nothing), and whether a commit was
        under way.
    """
    states, under_way = Journal(folder).possible()
    try:
        index = open_index(folder / "index")
        problems = index.verify()
        if problems:
            return {}, problems[0], under_way
        state = {name: index.metadata(name)["version"] for name in index.names}
        if state not in states:
            return {}, "it is no state that the journal knows", under_way
        for name, version in state.items():
            vector, local = features(name, version)
            stored = index.local(name).decode()
            near = stored.descriptors - local.descriptors.astype(np.float16)
            product = index.descriptors([name])[0] @ vector
            if (
                abs(product - bool(vector.any())) > 0.05
                or len(stored) != len(local)
                or np.abs(near).max(initial=0) > 1e-3
                or index.metadata(name)["text"] != f"{name} {version}"
            ):
                return {}, f"{name} is not what was written", under_way
            if vector.any() and version % 5 == 0:
                (found,) = index.search(vector[None], 1, "version >= 0").ids
                if index.names[found[0]] != name:
                    return {}, f"{name} is not found", under_way
    except InputError as error:
        return {}, str(error), under_way
    return state, "", under_way


def kill_once(folder: pathlib.Path, seconds: float) -> None:
    """Starts a writer and kills it when it has been ready for so long."""
    process = subprocess.Popen(
        [sys.executable, __file__, f"--write={folder}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    time.sleep(seconds)
    ended = process.poll() is not None
    process.kill()
    _, errors = process.communicate()
    if line != "ready\n" or ended:
        raise RuntimeError(f"The writer failed: {errors}")


def main() -> None:
    """Kills, looks, and counts."""
    if FLAGS.write:
        write_forever(pathlib.Path(FLAGS.write))
    logging.set_verbosity(logging.WARNING)
    kills = 5 if FLAGS.quick else FLAGS.kills
    rng = random.Random(FLAGS.seed)
    bad = commits = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        settings = IndexSettings(
            _DIMENSION, VectorOptions(FLAGS.kind), local_format="float16"
        )
        create_index(folder / "index", settings)
        Journal(folder).restart({})
        for number in range(kills):
            kill_once(folder, rng.uniform(0, _SECONDS))
            state, problem, under_way = check(folder)
            commits += under_way
            if problem:
                bad += 1
                print(f"kill {number + 1}: {problem}", flush=True)
                # Bad once is enough to know; go on with a new one.
                folder = pathlib.Path(tempfile.mkdtemp(dir=temporary))
                create_index(folder / "index", settings)
            Journal(folder).restart(state)
        generation = open_index(folder / "index").describe().generation
    print(
        f"{kills} kills, {commits} of them within a commit, {generation} "
        f"generations: {bad} bad."
    )
    if FLAGS.json:
        print(json.dumps({"kills": kills, "bad": bad}))


if __name__ == "__main__":
    cli.run(main)
