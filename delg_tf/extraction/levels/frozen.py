"""Level functions of a SavedModel, with their weights as constants."""

from delg_tf.export.frozen import Functions, freeze, levels_of
from delg_tf.export.levels import BOTH, GLOBAL, LOCAL

__all__ = ["Functions", "depths", "freeze", "level_signature", "levels_of"]


def level_signature(with_local: bool, with_global: bool) -> str:
    """Name of the function that gives what is wanted.

    Raises:
        ValueError: nothing is.
    """
    names = {(True, False): LOCAL, (False, True): GLOBAL, (True, True): BOTH}
    if (with_local, with_global) not in names:
        raise ValueError("One of local and global features must be wanted.")
    return names[with_local, with_global]


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
