"""Which runner a command line asks for."""

import importlib.util
import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.parallel.base import ShardRunner
from delg_tf.parallel.flags import LOCAL
from delg_tf.parallel.processes import ProcessRunner
from delg_tf.parallel.threads import ThreadRunner


def local_runner(workers: int) -> ShardRunner:
    """Returns this process for one worker, or a pool of processes."""
    return ThreadRunner() if workers == 1 else ProcessRunner(workers)


def make_runner(
    name: str, options: str, folder: PathLike, local: ShardRunner
) -> ShardRunner:
    """Returns the runner of this name.

    Args:
        name: "local", or a runner of Apache Beam.
        options: of Beam's, as on a command line.
        folder: see `beam.BeamRunner`.
        local: the one called "local".

    Raises:
        InputError: Beam is missing, or does not know the runner.
    """
    if name == LOCAL:
        if options:
            raise InputError(
                "--runner_options is for runners of Apache Beam; name one by "
                "--runner."
            )
        return local
    if importlib.util.find_spec("apache_beam") is None:
        raise InputError(
            f"--runner={name} needs Apache Beam: pip install 'delg-tf[beam]'."
        )
    logging.disable(logging.WARNING)
    try:
        # Takes a second, and warns of parts that are not used here.
        from delg_tf.parallel.beam import BeamRunner
    finally:
        logging.disable(logging.NOTSET)
    return BeamRunner(name, options, folder)
