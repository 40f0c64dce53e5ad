"""TensorFlow, on GPUs or CPUs."""

from typing import Any

import numpy as np
import tensorflow as tf

from delg_tf.export.frozen import depths, freeze, levels_of
from delg_tf.export.levels import level_signature
from delg_tf.extraction.levels.base import LevelOutputs, LevelRuntime

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
        self,
        levels: np.ndarray,
        with_local: bool,
        with_global: bool,
        limit: int | None = None,
    ) -> LevelOutputs:
        """See `LevelRuntime.run`; only what is selected leaves the device."""
        outputs = self._tensors(levels, with_local, with_global)
        if with_local:
            number = tf.constant(
                np.iinfo(np.int32).max if limit is None else limit
            )
            outputs |= _best(outputs["scores"], outputs["descriptors"], number)
        return LevelOutputs(
            **{name: value.numpy() for name, value in outputs.items()}
        )

    def maps(
        self, levels: np.ndarray, with_local: bool, with_global: bool
    ) -> dict[str, np.ndarray]:
        """See `LevelRuntime.maps`."""
        outputs = self._tensors(levels, with_local, with_global)
        return {name: value.numpy() for name, value in outputs.items()}

    def _tensors(
        self, levels: np.ndarray, with_local: bool, with_global: bool
    ) -> dict[str, tf.Tensor]:
        signature = level_signature(with_local, with_global)
        names, function = self._functions[signature]
        return dict(zip(names, function(tf.constant(levels))))


@tf.function(reduce_retracing=True)
def _best(
    scores: tf.Tensor, descriptors: tf.Tensor, limit: tf.Tensor
) -> dict[str, tf.Tensor]:
    """The best cells of feature maps; see `LevelOutputs`."""
    shape = tf.shape(descriptors)
    flat = tf.reshape(scores, [shape[0], shape[1] * shape[2]])
    best = tf.math.top_k(flat, tf.minimum(limit, tf.shape(flat)[1]))
    maps = tf.reshape(descriptors, [shape[0], shape[1] * shape[2], shape[3]])
    return {
        "cells": best.indices,
        "scores": best.values,
        "descriptors": tf.gather(maps, best.indices, batch_dims=1),
    }
