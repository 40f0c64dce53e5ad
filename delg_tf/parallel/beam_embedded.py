"""Beam's runner in Python, on this machine."""

import concurrent.futures
import threading
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner.fn_runner import (
    ExtendedProvisionInfo,
    FnApiRunner,
)
from apache_beam.runners.portability.portable_runner import JobServiceHandle

# How Beam's thread for a worker process begins when that was killed.
_LOST = "Worker subprocess"


def embedded_runner(options: PipelineOptions) -> FnApiRunner:
    """Returns the runner, which tells its processes the options."""
    encoded = JobServiceHandle.encode_pipeline_options(
        options.get_all_options(drop_default=True)
    )
    return FnApiRunner(
        provision_info=ExtendedProvisionInfo(
            beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
        )
    )


def run_watched(pipeline: beam.Pipeline) -> str | None:
    """Runs a pipeline to its end; returns its state.

    Beam waits for ever for a worker process that was killed, though one of
    its threads ends with the news; this function waits for both.

    Raises:
        ChildProcessError: a worker process was killed.
        Exception: whatever the pipeline raises.
    """
    outcome: concurrent.futures.Future = concurrent.futures.Future()
    lock = threading.Lock()

    def end(state: Any, error: BaseException | None = None) -> None:
        with lock:
            if outcome.done():
                return
            if error is None:
                outcome.set_result(state)
            else:
                outcome.set_exception(error)

    def run() -> None:
        try:
            end(pipeline.run().wait_until_finish())
        except BaseException as error:
            end(None, error)

    others = threading.excepthook

    def hook(arguments: Any) -> None:
        if str(arguments.exc_value).startswith(_LOST):
            end(None, ChildProcessError(f"{arguments.exc_value} (killed?)."))
        else:
            others(arguments)

    threading.excepthook = hook
    try:
        threading.Thread(target=run, daemon=True).start()
        return outcome.result()
    finally:
        threading.excepthook = others
