"""The precision that layers compute in."""

import contextlib
from collections.abc import Iterator

import tf_keras as keras

from delg_tf.training.config import PRECISIONS


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Layers made in the block compute in this precision.

    Args:
        name: a key of `PRECISIONS`.
    """
    previous = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(PRECISIONS[name])
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(previous)
