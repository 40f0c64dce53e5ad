"""Stages that run once, and again only if what they depend on changes."""

import dataclasses
import hashlib
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable

from delg_tf.common.errors import InputError
from delg_tf.common.files import read_json, write_json


@dataclasses.dataclass(frozen=True)
class Task:
    """Work in this process, in place of a command.

    Attributes:
        settings: text of all that the work depends on, beside inputs and the
            stages before.
        run: does it, and goes on where it was cut off.
    """

    settings: str
    run: Callable[[], None]


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage: commands, what they make, and what they depend on.

    Attributes:
        name: key of the stage's time.
        title: what it does, for people.
        commands: argument lists, after the Python interpreter; or tasks.
        outputs: files and folders that belong to the stage alone; removed
            before it runs for changed inputs.
        inputs: files whose content the stage depends on, beside its commands
            and the stages before.
    """

    name: str
    title: str
    commands: tuple[tuple[str, ...] | Task, ...]
    outputs: tuple[pathlib.Path, ...]
    inputs: tuple[pathlib.Path, ...] = ()


class StageRunner:
    """Runs stages in order and remembers what is done.

    A stage whose fingerprint (its commands, input files, and the stages
    before it) is that of its last complete run is passed over. One that was
    cut off goes on where it stopped, as its commands do by themselves; its
    times add up.

    Args:
        state_path: JSON file of the memory.
        root: folder that the commands run in.
        version: of the program, or `upstream` of the runner whose stages
            these build on; another one runs everything again.
    """

    def __init__(
        self, state_path: pathlib.Path, root: pathlib.Path, version: str
    ):
        self._path = state_path
        self._root = root
        self._state = read_json(state_path) if state_path.exists() else {}
        self._upstream = version

    @property
    def upstream(self) -> str:
        """What was run so far; give it to a runner that builds on it."""
        return self._upstream

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time of each stage that was run, by name."""
        return {
            name: round(entry["seconds"], 1)
            for name, entry in self._state.items()
        }

    def run(self, stage: Stage) -> None:
        """Runs a stage, or passes over it.

        Raises:
            InputError: a command failed.
        """
        fingerprint = self._fingerprint(stage)
        entry = self._state.get(stage.name, {})
        same = entry.get("fingerprint") == fingerprint
        complete = all(path.exists() for path in stage.outputs)
        if same and entry["done"] and complete:
            self._upstream = entry["run"]
            print(f"\n== {stage.title}: done before", flush=True)
            return
        # Stages after this one depend on the run, not on its settings alone:
        # two runs need not give the same weights to the last bit.
        going_on = same and not entry["done"]
        run = entry["run"] if going_on else uuid.uuid4().hex
        self._upstream = run
        if not same:
            for path in stage.outputs:
                _remove(path)
        before = entry["seconds"] if going_on else 0.0
        memory = {"fingerprint": fingerprint, "run": run, "done": False}
        print(f"\n== {stage.title}", flush=True)
        for command in stage.commands:
            self._remember(stage.name, memory | {"seconds": before})
            start = time.monotonic()
            try:
                self._call(command)
            finally:
                before += time.monotonic() - start
                self._remember(stage.name, memory | {"seconds": before})
        self._remember(stage.name, memory | {"seconds": before, "done": True})

    def _call(self, command: tuple[str, ...] | Task) -> None:
        if isinstance(command, Task):
            command.run()
            return
        print("$ python " + shlex.join(command), flush=True)
        # TensorFlow's own notices would hide the progress.
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "2"} | os.environ
        result = subprocess.run(
            [sys.executable, *command], cwd=self._root, env=quiet
        )
        if result.returncode:
            raise InputError(
                f"python {shlex.join(command)} ended with code "
                f"{result.returncode}; its message stands above. Run again to "
                "go on from there."
            )

    def _fingerprint(self, stage: Stage) -> str:
        commands = [
            command.settings if isinstance(command, Task) else command
            for command in stage.commands
        ]
        content = [self._upstream, stage.name, commands]
        content += [
            hashlib.sha256(path.read_bytes()).hexdigest()
            for path in stage.inputs
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _remember(self, name: str, entry: dict) -> None:
        self._state[name] = entry
        write_json(self._path, self._state)


def _remove(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
