"""int8 copies of an export's level functions, by OpenVINO's NNCF.

Post-training quantisation: weights become int8, activations get ranges that
are measured on images of the user's own.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import nncf
import numpy as np
import openvino
from nncf.quantization.range_estimator import RangeEstimatorParametersSet

from delg_tf.common.atomic_directory import atomic_directory
from delg_tf.export.frozen import Functions
from delg_tf.export.levels import BOTH
from delg_tf.extraction.levels.openvino_model import to_openvino
from delg_tf.extraction.levels.pyramid import level_size, resized
from delg_tf.extraction.levels.quantised import FOLDER

# GeM and whitening stay in float: they cost next to nothing, and the pooled
# values' wide range in eight bits is most of what global descriptors lose
# (R50: a cosine of 0.98 in place of 0.9998).
_HEADS = ["Maximum", "Power", "ReduceMean", "MatMul"]
# Longest side of what is calibrated on, pixels: histograms take time.
_LONGEST = 384
# Chosen on the demonstration's validation landmarks: cosines of global / local
# descriptors 0.9997 / 0.9995 (after a stem in float), with NNCF's defaults
# 0.9897 / 0.9914. Correcting biases makes this network worse, and so does
# clipping ranges at means.
_PARAMETERS = nncf.AdvancedQuantizationParameters(
    disable_bias_correction=True,
    activations_range_estimator_params=RangeEstimatorParametersSet.HISTOGRAM,
)


def quantise(
    model: pathlib.Path,
    functions: Functions,
    images: Sequence[np.ndarray],
    scales: Sequence[float],
    smallest: int,
    overwrite: bool = False,
) -> None:
    """Writes the int8 copies into the export's folder.

    Args:
        model: folder of the SavedModel.
        functions: its level functions.
        images: for calibration, uint8 `[H, W, 3]`; each is used at one of the
            scales, in turn.
        scales: of the pyramid.
        smallest: shortest side in pixels of a level.
        overwrite: whether earlier copies are replaced.

    Raises:
        InputError: copies exist.
    """
    random = np.random.default_rng(0)

    def level(item: tuple[np.ndarray, float]) -> np.ndarray:
        image, scale = item
        size = level_size(image.shape[:2], scale, smallest)
        whole = resized([image.astype(np.float32)], size)
        spare = np.maximum(np.array(size) - _LONGEST, 0)
        y, x = random.integers(0, spare + 1)
        return whole[:, y : y + _LONGEST, x : x + _LONGEST]

    items = [
        (image, scales[place % len(scales)])
        for place, image in enumerate(images)
    ]
    # Levels are made when they are needed: all of them would take gigabytes.
    dataset = nncf.Dataset(items, level)
    # The others are parts of the one that gives all.
    whole = _quantised(
        functions.get(BOTH) or next(iter(functions.values())),
        dataset,
        len(items),
    )
    with atomic_directory(model / FOLDER, "done", overwrite) as folder:
        for signature, function in functions.items():
            openvino.save_model(
                _part(whole, sorted(function.structured_outputs)),
                folder / f"{signature}.xml",
                compress_to_fp16=False,
            )
        (folder / "done").touch()


def _quantised(
    function: Any, dataset: nncf.Dataset, number: int
) -> openvino.Model:
    """A function in int8; its outputs keep their names."""
    converted = to_openvino(function)
    return nncf.quantize(
        converted,
        dataset,
        subset_size=number,
        ignored_scope=nncf.IgnoredScope(
            names=_stem(converted), types=_HEADS, validate=False
        ),
        advanced_parameters=_PARAMETERS,
    )


def _stem(model: openvino.Model) -> list[str]:
    """Names of the convolutions that read what the first one gives.

    Its values range widely; in eight bits they lose more than any others. The
    first one itself reads the image, which has eight bits anyway.
    """
    first = next(
        node for node in model.get_ordered_ops() if _is_convolution(node)
    )
    names, reached = [], [first]
    while reached:
        for output in reached.pop().outputs():
            for target in output.get_target_inputs():
                node = target.get_node()
                if _is_convolution(node):
                    names.append(node.get_friendly_name())
                else:
                    reached.append(node)
    return names


def _is_convolution(node: openvino.Node) -> bool:
    return node.get_type_name() == "Convolution"


def _part(model: openvino.Model, names: Sequence[str]) -> openvino.Model:
    """A copy that computes only some outputs."""
    copy = model.clone()
    for result in list(copy.get_results()):
        if not result.output(0).get_names() & set(names):
            copy.remove_result(result)
    return copy
