"""Level functions of a SavedModel, with their weights as constants."""

from typing import Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from delg_tf.export.levels import BOTH, GLOBAL, LOCAL

Functions = dict[str, tf.types.experimental.ConcreteFunction]


def levels_of(loaded: Any) -> Functions:
    """The level functions of an export.

    Args:
        loaded: what `tf.saved_model.load` gave; to be kept alive as long as
            the functions, which do not own their variables.

    Returns:
        By name; empty for models that have none (the official ones, and
        exports of earlier versions).
    """
    return {
        name: loaded.signatures[name]
        for name in (LOCAL, GLOBAL, BOTH)
        if name in loaded.signatures
    }


def freeze(
    function: tf.types.experimental.ConcreteFunction,
) -> tf.types.experimental.ConcreteFunction:
    """A function with its variables as constants; outputs keep their order.

    The outputs are in the order of `sorted(function.structured_outputs)`.
    """
    return convert_variables_to_constants_v2(function)


def depths(functions: Functions) -> dict[str, int]:
    """Lengths of "features" and "global_descriptors"; see `LevelRuntime`."""
    names = {
        "descriptors": "features",
        "global_descriptors": "global_descriptors",
    }
    return {
        names[output]: spec.shape[-1]
        for function in functions.values()
        for output, spec in function.structured_outputs.items()
        if output in names
    }
