"""Runtimes and precisions of this machine, and the copies that they need."""

import importlib.util
import pathlib
from collections.abc import Sequence

from PIL import Image

from delg_tf.data.synthetic.photographs import check_photographs
from delg_tf.export.convert import convert_export
from delg_tf.export.formats import ONNX, FormatOptions
from delg_tf.extraction.image_list import images_in_folder
from delg_tf.extraction.levels.openvino import cpu_has_bfloat16
from delg_tf.extraction.quantise import quantise_export
from delg_tf.protos import delf_config_pb2

Way = tuple[str, str]
# Photographs that int8 is calibrated on, and their longer side: enough to run
# it; a network with random weights has nothing to lose.
_PHOTOGRAPHS = (512, 512, 512)


def available_ways() -> list[Way]:
    """Returns pairs of a runtime and a precision that can run here."""
    half = ["bfloat16"] if cpu_has_bfloat16() else []
    precisions = {
        "tensorflow": ["float32", *half],
        "openvino": ["float32", *half, *(["int8"] if _has("nncf") else [])],
        "onnxruntime": (
            ["float32"] if _has("onnxruntime") and _has("tf2onnx") else []
        ),
    }
    return [
        (runtime, precision)
        for runtime, values in precisions.items()
        for precision in values
    ]


def add_copies(
    config: delf_config_pb2.DelfConfig,
    ways: Sequence[Way],
    folder: pathlib.Path,
) -> None:
    """Adds what an export needs to be run in these ways.

    Args:
        config: names the export, and its scales.
        ways: pairs of a runtime and a precision.
        folder: for photographs.

    Raises:
        InputError: a package is missing.
    """
    if any(runtime == "onnxruntime" for runtime, _ in ways):
        convert_export(config.model_path, FormatOptions((ONNX,)))
    if any(precision == "int8" for _, precision in ways):
        folder.mkdir(parents=True, exist_ok=True)
        for place, pixels in enumerate(check_photographs(_PHOTOGRAPHS)):
            Image.fromarray(pixels).save(folder / f"{place}.png")
        quantise_export(config, images_in_folder(folder), compared=1)


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
