"""The devices and machines that a run is distributed over."""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator

import tensorflow as tf

from delg_tf.common.errors import InputError

DISTRIBUTIONS = ("mirrored", "one_device", "multi_worker")


def make_strategy(
    distribution: str = "mirrored", replicas: int | None = None
) -> tf.distribute.Strategy:
    """Makes the strategy.

    Args:
        distribution: `mirrored`: the GPUs of this machine, or its CPU;
            `one_device`: one of them; `multi_worker`: the devices of all
            processes that the environment variable TF_CONFIG lists.
        replicas: number of this machine's devices for `mirrored`; None: all
            GPUs, or the CPU. Without GPUs several replicas use as many
            logical CPUs, which `tf.config.set_logical_device_configuration`
            must have made.

    Raises:
        InputError: there are fewer devices, or TF_CONFIG does not fit.
    """
    if distribution not in DISTRIBUTIONS:
        raise InputError(
            f"`distribution` must be one of {DISTRIBUTIONS}. Received: "
            f"{distribution!r}"
        )
    if distribution == "multi_worker":
        _check_tf_config()
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_logical_devices("GPU")
    devices = gpus or tf.config.list_logical_devices("CPU")
    if distribution == "one_device":
        return tf.distribute.OneDeviceStrategy(devices[0].name)
    wanted = replicas or (len(gpus) if gpus else 1)
    if wanted > len(devices):
        raise InputError(
            f"`replicas` is {wanted}, but there are only {len(devices)} "
            f"{'GPUs' if gpus else 'CPU devices'}."
        )
    # The CPU default, a ring of collectives, hangs or fails as soon as two
    # strategies live in one process; and there is nothing to gain from it.
    reduce = None if gpus else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(
        [device.name for device in devices[:wanted]],
        cross_device_ops=reduce,
    )


def worker_index(strategy: tf.distribute.Strategy) -> int:
    """This process's number among the workers; 0 is the chief."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return 0
    if resolver.task_type == "chief":
        return 0
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_id + int(has_chief)


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """Number of processes that train together."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return 1
    spec = resolver.cluster_spec()
    return sum(
        spec.num_tasks(job) for job in spec.jobs if job in ("chief", "worker")
    )


def distributed(
    strategy: tf.distribute.Strategy, dataset: tf.data.Dataset, batch_size: int
) -> Iterable:
    """Hands batches out to the replicas.

    Args:
        strategy: replicas.
        dataset: batches of this process; of several processes each has its
            own part of every batch.
        batch_size: images over all replicas.

    Returns:
        Per-replica values.
    """
    if num_workers(strategy) == 1:
        return strategy.experimental_distribute_dataset(dataset)
    # Divided among the workers already; left is to divide by replicas.
    share = batch_size // strategy.num_replicas_in_sync
    return strategy.distribute_datasets_from_function(
        lambda context: dataset.rebatch(share)
    )


@contextlib.contextmanager
def lost_workers(distribution: str) -> Iterator[None]:
    """Says what to do when another worker is gone.

    Args:
        distribution: of the run in the block.
    """
    try:
        yield
    except (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.InternalError,
    ) as error:
        if distribution != "multi_worker":
            raise
        raise InputError(
            "A worker was lost. Start all of them again with the same "
            "command: training goes on from the last checkpoint. TensorFlow "
            f"says: {error.message}"
        ) from error


def _check_tf_config() -> None:
    text = os.environ.get("TF_CONFIG", "")
    example = (
        '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": '
        '{"type": "worker", "index": 0}}'
    )
    try:
        config = json.loads(text)
        addresses = config["cluster"][config["task"]["type"]]
        fits = 0 <= int(config["task"]["index"]) < len(addresses)
    except (ValueError, KeyError, TypeError):
        fits = False
    if not fits:
        raise InputError(
            "--distribution=multi_worker needs the environment variable "
            f"TF_CONFIG, like {example}, with this process's own index. "
            f"Received: {text!r}"
        )
