"""What happens in a process of a local pool."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Sequence
from typing import Any

from delg_tf.parallel.base import Result, ShardFunction, StoppedError
from delg_tf.parallel.machine import Share

# Number of this process, its pool's counts and its pool's sign to stop.
_state: dict[str, Any] = {}


def initialise(
    place: Any, shares: Sequence[Share], counts: Any, stop: Any
) -> None:
    """Prepares this process, before it imports TensorFlow.

    Args:
        place: shared number of the next process, with a lock.
        shares: what each process gets of the machine.
        counts: shared; each process counts the units it has done in its own
            place, without a lock that it could take to its grave.
        stop: shared; becomes 1 when the work is to be given up.
    """
    with place.get_lock():
        number = place.value
        place.value += 1
    _state.update(number=number, counts=counts, stop=stop)
    # Ctrl-C reaches all processes; the first one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _take(shares[number])


def call(function: ShardFunction[Result], shard: Any) -> Result:
    """Runs the function over a shard."""
    return function(shard, _advance)


def _advance(count: int) -> None:
    if _state["stop"].value:
        raise StoppedError
    _state["counts"][_state["number"]] += count


def _take(share: Share) -> None:
    """Binds this process; libraries make as many threads as it has cores."""
    if share.cores:
        os.sched_setaffinity(0, share.cores)
    if share.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = share.gpu
        if share.gpu_is_shared:
            # Otherwise the first process takes all of its memory.
            os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"


def _end_with_parent() -> None:
    """Ends this process when the first one is gone, however it ended.

    Otherwise it would go on with its shard while a new run does the same.
    """
    parent = multiprocessing.parent_process()
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
