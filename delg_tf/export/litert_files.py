"""LiteRT (TensorFlow Lite) copies of an export's function of an image.

The whole of `serve_batch` for one image: its scales are fixed, so a program
hands over pixels and gets finished features.
"""

import contextlib
import io
import pathlib
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from delg_tf.common.files import atomic_write
from delg_tf.export.formats import FLOAT16, INT8

_IMAGE = tf.TensorSpec([1, None, None, 3], tf.uint8, "images")
_SIGNATURE = "serving_default"
# The convolutional network; its heads, the pooling and the geometry stay in
# float, as eight bits for the latter two would ruin them.
_NETWORK = r"^(trunk|conv5)/"
_QUANTISED = ("CONV_2D", "ADD", "MAX_POOL_2D", "PAD", "PADV2")
_WITH_WEIGHTS = ("CONV_2D", "FULLY_CONNECTED")


def convert_to_litert(loaded: Any, function: Any) -> bytes:
    """Converts `serve_batch` for one image of any size, in float32.

    Args:
        loaded: the SavedModel, which owns the variables.
        function: its signature.
    """

    @tf.function(input_signature=[_IMAGE])
    def image(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return function(images=images)

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [image.get_concrete_function()], loaded
    )
    with _quiet():
        return converter.convert()


def in_precision(
    model: bytes, name: str, images: Sequence[np.ndarray] = ()
) -> bytes:
    """A float32 model with smaller weights.

    Args:
        model: of `convert_to_litert`.
        name: "litert_float16": weights of layers in float16; "litert_int8":
            weights and activations of the backbone in int8.
        images: for int8, uint8 `[H, W, 3]`, on which activations' ranges are
            measured.
    """
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.calibrator import CalibrationMode
    from ai_edge_quantizer.quantizer import AlgorithmName, Quantizer

    quantizer = Quantizer(bytearray(model))
    if name == FLOAT16:
        # Not all constants, as TensorFlow's converter would: the scales'
        # rounded values give levels of other sizes.
        config = qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(
                num_bits=16, dtype=qtyping.TensorDataType.FLOAT
            ),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        )
        for operation in _WITH_WEIGHTS:
            quantizer.update_quantization_recipe(
                ".*",
                qtyping.TFLOperationName(operation),
                config,
                AlgorithmName.FLOAT_CASTING,
            )
    elif name == INT8:
        for operation in _QUANTISED:
            quantizer.add_static_config(
                _NETWORK, qtyping.TFLOperationName(operation), 8, 8
            )
    else:
        raise ValueError(
            f"`name` must be {FLOAT16!r} or {INT8!r}. Received: {name!r}"
        )
    with _quiet():
        ranges = None
        if quantizer.need_calibration:
            inputs = [{"images": image[np.newaxis]} for image in images]
            # This mode does not keep all tensors until the end.
            ranges = quantizer.calibrate(
                {_SIGNATURE: inputs},
                num_threads=2,
                mode=CalibrationMode.CALIBRATION_PROFILER_BASED,
            )
        result = quantizer.quantize(ranges, enable_progress_report=False)
    return bytes(result.quantized_model)


def save_litert(
    path: pathlib.Path, model: bytes, files: Mapping[str, str]
) -> None:
    """Writes a model with texts packed into it.

    They are appended as a ZIP archive, as TensorFlow Lite's metadata have it:
    interpreters pass over it, and any program for archives reads it.

    Args:
        path: of the file.
        model: its flatbuffer.
        files: texts, by file name.
    """
    buffer = io.BytesIO(model)
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    with atomic_write(path) as file:
        file.write(buffer.getvalue())


@contextlib.contextmanager
def _quiet() -> Any:
    """Holds back progress bars and tables of the converters."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        yield
