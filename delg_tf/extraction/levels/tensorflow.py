"""TensorFlow, on GPUs or CPUs."""

from typing import Any

import numpy as np
import tensorflow as tf

from delg_tf.extraction.levels.base import LevelOutputs, LevelRuntime
from delg_tf.extraction.levels.frozen import (
    depths,
    freeze,
    level_signature,
    levels_of,
)

# What rewrites a graph to half precision, by device.
_REWRITERS = {
    "CPU": "auto_mixed_precision_onednn_bfloat16",
    "GPU": "auto_mixed_precision",
}


class TensorFlowRuntime(LevelRuntime):
    """Runs the SavedModel's functions, frozen.

    Args:
        loaded: what `tf.saved_model.load` gave for an export.
        precision: "float32", or "bfloat16" (float16 on GPUs): convolutions
            and matrix products in half precision, chosen by TensorFlow's
            graph optimiser.
    """

    name = "tensorflow"

    def __init__(self, loaded: Any, precision: str):
        self.precision = precision
        if precision != "float32":
            device = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
            tf.config.optimizer.set_experimental_options(
                {_REWRITERS[device]: True}
            )
        functions = levels_of(loaded)
        self.depths = depths(functions)
        self._functions = {
            name: (sorted(function.structured_outputs), freeze(function))
            for name, function in functions.items()
        }

    def run(
        self, levels: np.ndarray, with_local: bool, with_global: bool
    ) -> LevelOutputs:
        """See `LevelRuntime.run`."""
        signature = level_signature(with_local, with_global)
        names, function = self._functions[signature]
        values = function(tf.constant(levels))
        return LevelOutputs(
            **{name: value.numpy() for name, value in zip(names, values)}
        )
