"""OpenVINO: the fastest on CPUs of x86 and Arm."""

import pathlib
from typing import Any

import numpy as np
import openvino

from delg_tf.common.errors import InputError
from delg_tf.extraction.levels.base import LevelRuntime
from delg_tf.extraction.levels.frozen import (
    depths,
    freeze,
    level_signature,
    levels_of,
)
from delg_tf.extraction.levels.quantised import quantised_path

_Compiled = tuple[openvino.CompiledModel, dict[str, openvino.ConstOutput]]
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
        self._compiled: dict[str, _Compiled] = {}

    def maps(
        self, levels: np.ndarray, with_local: bool, with_global: bool
    ) -> dict[str, np.ndarray]:
        """See `LevelRuntime.maps`."""
        signature = level_signature(with_local, with_global)
        compiled, outputs = self._compile(signature)
        values = compiled(levels)
        return {name: values[output] for name, output in outputs.items()}

    def _compile(self, signature: str) -> _Compiled:
        if signature not in self._compiled:
            function = self._functions[signature]
            names = sorted(function.structured_outputs)
            if self.precision == "int8":
                path = quantised_path(self._path, signature)
                model = openvino.Core().read_model(path)
                outputs = names
            else:
                frozen = freeze(function)
                model = openvino.convert_model(frozen.graph)
                # The converter does not keep the outputs' order.
                outputs = [tensor.name for tensor in frozen.outputs]
            config = {"INFERENCE_PRECISION_HINT": self._hint}
            compiled = openvino.Core().compile_model(model, "CPU", config)
            self._compiled[signature] = (
                compiled,
                {
                    name: compiled.output(output)
                    for name, output in zip(names, outputs)
                },
            )
        return self._compiled[signature]
