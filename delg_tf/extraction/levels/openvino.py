"""OpenVINO: the fastest on CPUs of x86 and Arm."""

import pathlib
from typing import Any

import numpy as np
import openvino

from delg_tf.common.errors import InputError
from delg_tf.export.frozen import depths, levels_of
from delg_tf.export.levels import level_signature
from delg_tf.extraction.levels.base import LevelRuntime
from delg_tf.extraction.levels.openvino_model import to_openvino
from delg_tf.extraction.levels.quantised import quantised_path

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware."""
    core = openvino.Core()
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoRuntime(LevelRuntime):
    """Runs the SavedModel's functions, converted when they are first used.

    Args:
        loaded: what `tf.saved_model.load` gave for an export.
        path: its folder.
        precision: "float32"; "bfloat16": convolutions and matrix products
            with bfloat16 factors and float32 sums; "int8": the copies that
            `quantisation` made.

    Raises:
        InputError: there are no int8 copies, though they are asked for.
    """

    name = "openvino"

    def __init__(self, loaded: Any, path: pathlib.Path, precision: str):
        self.precision = precision
        # Measured: up to 112 in float32, 56 in bfloat16.
        self.bytes_per_pixel = 120 if precision == "float32" else 60
        self._path = path
        self._loaded = loaded
        half = cpu_has_bfloat16() if precision == "int8" else None
        self._hint = _HINTS.get(precision, "bf16" if half else "f32")
        self._functions = levels_of(loaded)
        self.depths = depths(self._functions)
        missing = [
            name
            for name in self._functions
            if not quantised_path(path, name).is_file()
        ]
        if precision == "int8" and missing:
            raise InputError(
                f"--precision=int8: {path} has no int8 copy. Make it with "
                "tools/quantise_model.py and images like those to be extracted."
            )
        self._compiled: dict[str, openvino.CompiledModel] = {}

    def maps(
        self, levels: np.ndarray, with_local: bool, with_global: bool
    ) -> dict[str, np.ndarray]:
        """See `LevelRuntime.maps`."""
        signature = level_signature(with_local, with_global)
        values = self._compile(signature)(levels)
        names = self._functions[signature].structured_outputs
        return {name: values[name] for name in names}

    def _compile(self, signature: str) -> openvino.CompiledModel:
        if signature not in self._compiled:
            if self.precision == "int8":
                path = quantised_path(self._path, signature)
                model = openvino.Core().read_model(path)
            else:
                model = to_openvino(self._functions[signature])
            config = {"INFERENCE_PRECISION_HINT": self._hint}
            self._compiled[signature] = openvino.Core().compile_model(
                model, "CPU", config
            )
        return self._compiled[signature]
