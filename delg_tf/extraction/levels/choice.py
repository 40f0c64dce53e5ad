"""Which runtime and precision are used."""

import importlib.util
import pathlib
from typing import Any

import tensorflow as tf
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.extraction.levels.base import (
    PRECISIONS,
    RUNTIMES,
    LevelRuntime,
)


def make_runtime(
    loaded: Any,
    path: pathlib.Path,
    runtime: str = "auto",
    precision: str = "auto",
) -> LevelRuntime:
    """Loads an export into a runtime, and says in the log into which.

    "auto" is the fastest that is safe on this machine: TensorFlow in float32
    where there is a GPU; else OpenVINO if it is installed, in bfloat16 if the
    processor has it in hardware (descriptors then keep a cosine of 0.9999 to
    those in float32), in float32 if not.

    Args:
        loaded: what `tf.saved_model.load` gave for an export.
        path: its folder.
        runtime: one of `RUNTIMES`.
        precision: one of `PRECISIONS`.

    Raises:
        InputError: the runtime or the precision is unknown, or not there.
    """
    for name, value, allowed in (
        ("runtime", runtime, RUNTIMES),
        ("precision", precision, PRECISIONS),
    ):
        if value not in allowed:
            raise InputError(
                f"--{name} must be one of {allowed}. Received: {value!r}"
            )
    if precision == "int8" and runtime == "auto":
        runtime = "openvino"
    has_openvino = importlib.util.find_spec("openvino") is not None
    if runtime == "auto":
        gpu = bool(tf.config.list_physical_devices("GPU"))
        runtime = "openvino" if has_openvino and not gpu else "tensorflow"
    if runtime == "openvino" and not has_openvino:
        raise InputError(
            "--runtime=openvino needs OpenVINO: pip install openvino."
        )
    if runtime == "openvino":
        chosen = _openvino(loaded, path, precision)
    elif runtime == "onnxruntime":
        chosen = _onnxruntime(loaded, path, precision)
    else:
        chosen = _tensorflow(loaded, precision)
    logging.info("Runtime: %s, %s.", chosen.name, chosen.precision)
    return chosen


def _openvino(loaded: Any, path: pathlib.Path, precision: str) -> LevelRuntime:
    from delg_tf.extraction.levels.openvino import (
        OpenVinoRuntime,
        cpu_has_bfloat16,
    )

    if precision == "auto":
        precision = "bfloat16" if cpu_has_bfloat16() else "float32"
    return OpenVinoRuntime(loaded, path, precision)


def _tensorflow(loaded: Any, precision: str) -> LevelRuntime:
    from delg_tf.extraction.levels.tensorflow import TensorFlowRuntime

    if precision == "int8":
        raise InputError("--precision=int8 needs --runtime=openvino.")
    precision = "float32" if precision == "auto" else precision
    return TensorFlowRuntime(loaded, precision)


def _onnxruntime(
    loaded: Any, path: pathlib.Path, precision: str
) -> LevelRuntime:
    if precision not in ("auto", "float32"):
        raise InputError(
            f"--runtime=onnxruntime runs in float32. --precision={precision} "
            "needs --runtime=openvino."
        )
    if importlib.util.find_spec("onnxruntime") is None:
        raise InputError(
            "--runtime=onnxruntime needs ONNX Runtime: pip install "
            "'delg-tf[onnx]'."
        )
    from delg_tf.extraction.levels.onnxruntime import OnnxRuntime

    return OnnxRuntime(loaded, path)
