"""Decoding on other machines: a client of tf.data's service.

A dispatcher and its workers (`tf.data.experimental.service.DispatchServer` and
`WorkerServer`) run the input pipeline, and the trainer receives batches.
Workers take whole epochs in turn, so each epoch has every image once, as
without a service. With one worker the stream is the same, too. With several,
batches of different epochs come mixed, in an order that depends on their
speed; a resumed run goes on at the right epoch, but sees what was under way
again.

The workers read the record files, so these must be on a disk that all see.
"""

import re
import socket

import tensorflow as tf

from delg_tf.common.errors import InputError

_ADDRESS = re.compile(r"^grpc://(\[.+\]|[^:]+):(\d{1,5})$")
_PATIENCE_SECONDS = 10.0


def distribute(
    dataset: tf.data.Dataset, address: str, parts: int
) -> tf.data.Dataset:
    """Lets the workers of a service run a data set.

    Args:
        dataset: begins with a range of epochs.
        address: `grpc://host:port` of the dispatcher.
        parts: processes that train together; a service serves one.

    Raises:
        InputError: the address is malformed, nothing answers there, or there
            are several parts.
    """
    if parts > 1:
        raise InputError(
            "`service` serves one training process, not "
            f"{parts}. Leave it out; each process decodes its part."
        )
    check_service(address)
    return dataset.apply(
        tf.data.experimental.service.distribute(
            tf.data.experimental.service.ShardingPolicy.DYNAMIC, address
        )
    )


def check_service(address: str) -> None:
    """Finds out whether something answers at an address.

    TensorFlow would try for an hour.

    Raises:
        InputError: the address is malformed, or nothing answers.
    """
    match = _ADDRESS.match(address)
    if match is None:
        raise InputError(
            f"`service` must be like grpc://host:5000. Received: {address}"
        )
    try:
        with socket.create_connection(
            (match[1].strip("[]"), int(match[2])), _PATIENCE_SECONDS
        ):
            pass
    except (OSError, OverflowError) as error:
        raise InputError(
            f"No tf.data service answers at {address}: {error}. Start its "
            "dispatcher and workers first."
        ) from error
