"""Level functions of a SavedModel, with their weights as constants."""

import pathlib

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from delg_tf.common.errors import InputError
from delg_tf.export.levels import BOTH, GLOBAL, LOCAL

Functions = dict[str, tf.types.experimental.ConcreteFunction]


def level_signature(with_local: bool, with_global: bool) -> str:
    """Name of the function that gives what is wanted.

    Raises:
        ValueError: nothing is.
    """
    names = {(True, False): LOCAL, (False, True): GLOBAL, (True, True): BOTH}
    if (with_local, with_global) not in names:
        raise ValueError("One of local and global features must be wanted.")
    return names[with_local, with_global]


def load_levels(path: pathlib.Path) -> Functions:
    """Loads the level functions of an export.

    Args:
        path: folder of the SavedModel.

    Returns:
        By name; empty for models that have none (the official ones, and
        exports of earlier versions).

    Raises:
        InputError: the model cannot be loaded.
    """
    try:
        model = tf.saved_model.load(str(path))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise InputError(
            f"The model {path} cannot be loaded: {error}"
        ) from error
    found = {
        name: model.signatures[name]
        for name in (LOCAL, GLOBAL, BOTH)
        if name in model.signatures
    }
    for function in found.values():
        # A signature alone does not own its variables.
        function.model = model
    return found


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
