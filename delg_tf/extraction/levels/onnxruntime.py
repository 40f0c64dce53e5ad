"""ONNX Runtime: wherever OpenVINO does not run."""

import pathlib
from typing import Any

import numpy as np
import onnxruntime

from delg_tf.common.errors import InputError
from delg_tf.export.formats import onnx_path
from delg_tf.export.frozen import depths, levels_of
from delg_tf.export.levels import level_signature
from delg_tf.extraction.levels.base import LevelRuntime


class OnnxRuntime(LevelRuntime):
    """Runs the ONNX copies of the level functions, in float32.

    Args:
        loaded: what `tf.saved_model.load` gave for an export.
        path: its folder.

    Raises:
        InputError: there are no copies.
    """

    name = "onnxruntime"
    precision = "float32"

    def __init__(self, loaded: Any, path: pathlib.Path):
        functions = levels_of(loaded)
        self.depths = depths(functions)
        self._paths = {name: onnx_path(path, name) for name in functions}
        if not all(copy.is_file() for copy in self._paths.values()):
            raise InputError(
                f"--runtime=onnxruntime: {path} has no ONNX copies. Make them: "
                "tools/convert_export.py --formats=onnx "
                f"--model_path={path}"
            )
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}

    def maps(
        self, levels: np.ndarray, with_local: bool, with_global: bool
    ) -> dict[str, np.ndarray]:
        """See `LevelRuntime.maps`."""
        signature = level_signature(with_local, with_global)
        if signature not in self._sessions:
            # Every one that this build has, GPUs first.
            self._sessions[signature] = onnxruntime.InferenceSession(
                self._paths[signature],
                providers=onnxruntime.get_available_providers(),
            )
        session = self._sessions[signature]
        names = [output.name for output in session.get_outputs()]
        values = session.run(names, {"levels": levels})
        return dict(zip(names, values))
