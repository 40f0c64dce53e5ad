"""Shards on any runner of Apache Beam."""

import contextlib
import functools
import io
import logging
import re
import shlex
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import (
    PipelineRunner,
    PipelineState,
    create_runner,
)

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.parallel import beam_embedded
from delg_tf.parallel.base import Advance, Result, ShardFunction, ShardRunner
from delg_tf.parallel.exchange import Exchange, exchange_folder

_EMBEDDED = "DirectRunner"
# Workers warn, but do not tell each step.
_QUIET = "--default_sdk_harness_log_level=WARNING"
# Seconds between two looks for results.
_INTERVAL = 1.0
# Beam does not tell how many a cluster has.
_USUAL_WORKERS = 16


class BeamRunner(ShardRunner):
    """Runs a pipeline of one step.

    Args:
        name: of the runner, as Beam has it. "DirectRunner" is the embedded
            one in Python: Beam's own choice would first try to download a
            program (Prism, which `PrismRunner` names).
        options: Beam's options, as on a command line.
        folder: shards and results are exchanged in a folder in it. All
            workers must see it under the same path.

    Raises:
        InputError: the runner is unknown, or the folder is not in a file
            system.
    """

    workers = _USUAL_WORKERS

    def __init__(self, name: str, options: str, folder: PathLike):
        if re.match(r"[a-z0-9]+:/", str(folder)):
            raise InputError(
                f"{folder} is no path of a file system. Mount it on all "
                "machines, and give the path there."
            )
        self._name = name
        self._options = _parse(options)
        self._runner = _make_runner(name, self._options)
        self._folder = folder

    def run(
        self,
        function: ShardFunction[Result],
        shards: Sequence[Any],
        advance: Advance,
    ) -> list[Result]:
        """See `ShardRunner.run`."""
        results: dict[str, Any] = {}
        with exchange_folder(self._folder) as exchange:
            names = exchange.put_shards(shards)
            with _watched(exchange, results, advance):
                self._run(exchange, names, function)
        missing = [name for name in names if name not in results]
        if missing:
            raise ChildProcessError(
                f"{len(missing)} of {len(names)} shards left no result in "
                f"{self._folder}. Do all workers see this folder, under this "
                "path? What is finished is kept; start again."
            )
        for name in names:
            if isinstance(results[name], InputError):
                raise results[name]
        return [results[name] for name in names]

    def _run(
        self, exchange: Exchange, names: Sequence[str], function: ShardFunction
    ) -> None:
        step = functools.partial(_run_shard, exchange, function)
        try:
            pipeline = beam.Pipeline(self._runner, self._options)
        except ValueError as error:
            raise InputError(f"--runner_options: {error}") from error
        _ = (
            pipeline
            | "Shards" >> beam.Create(names)
            # Without it one worker would get them all.
            | "Spread" >> beam.Reshuffle()
            | "Run" >> beam.Map(step)
        )
        try:
            if self._name == _EMBEDDED:
                state = beam_embedded.run_watched(pipeline)
            else:
                state = pipeline.run().wait_until_finish()
        # Each runner has errors of its own.
        except Exception as error:
            raise ChildProcessError(
                f"{self._name} failed: {error}\nWhat is finished is kept; "
                "start again."
            ) from error
        # The embedded one returns nothing when all is well.
        if state not in (None, PipelineState.DONE):
            raise ChildProcessError(
                f"{self._name} ended in the state {state}. What is finished "
                "is kept; start again."
            )


def _run_shard(exchange: Exchange, function: ShardFunction, name: str) -> None:
    """One element of the pipeline, on a worker."""
    # Shown by the runner, while the shard runs.
    counter = Metrics.counter("delg_tf", "units")
    exchange.run(name, function, counter.inc)


def _make_runner(name: str, options: PipelineOptions) -> PipelineRunner:
    logger = logging.getLogger("apache_beam")
    logger.setLevel(logging.WARNING)
    # It repeats what worker processes of this machine have said themselves.
    logger.getChild("runners.portability.local_job_service").setLevel(
        logging.ERROR
    )
    if name == _EMBEDDED:
        return beam_embedded.embedded_runner(options)
    try:
        return create_runner(name)
    except (ValueError, ImportError, AttributeError) as error:
        raise InputError(f"--runner={name}: {error}") from error


def _parse(options: str) -> PipelineOptions:
    """Reads a command line. Unknown options are left to the runner.

    Raises:
        InputError: a value is wrong.
    """
    try:
        words = shlex.split(options)
    except ValueError as error:
        raise InputError(f"--runner_options: {error}.") from error
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            # Ours first: the last one counts.
            parsed = PipelineOptions([_QUIET, *words])
            parsed.get_all_options(retain_unknown_options=True)
    except SystemExit as error:
        # Behind the usage of all options that there are.
        message = said.getvalue().strip().rpartition("error: ")[2]
        raise InputError(f"--runner_options: {message}.") from error
    return parsed


@contextlib.contextmanager
def _watched(
    exchange: Exchange, results: dict[str, Any], advance: Advance
) -> Iterator[None]:
    """Takes in results while the pipeline runs, and those left at the end."""
    ended = threading.Event()

    def take() -> None:
        units = exchange.new_results(results)
        if units:
            advance(units)

    def watch() -> None:
        while not ended.wait(_INTERVAL):
            take()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        take()
