"""int8 copies of an export's level functions, by OpenVINO's NNCF.

Post-training quantisation: weights become int8, activations get ranges that
are measured on images of the user's own.
"""

import pathlib
from collections.abc import Sequence

import nncf
import numpy as np
import openvino
from nncf.quantization.range_estimator import RangeEstimatorParametersSet

from delg_tf.common.atomic_directory import atomic_directory
from delg_tf.extraction.levels.frozen import Functions, freeze
from delg_tf.extraction.levels.pyramid import level_size, resized
from delg_tf.extraction.levels.quantised import FOLDER

# GeM and whitening stay in float: they cost next to nothing, and the pooled
# values' wide range in eight bits is most of what global descriptors lose
# (R50: a cosine of 0.98 in place of 0.9998).
_HEADS = nncf.IgnoredScope(
    types=["Maximum", "Power", "ReduceMean", "MatMul"], validate=False
)
# Chosen on the demonstration's validation landmarks: cosines of global / local
# descriptors 0.9995 / 0.9993, with NNCF's defaults 0.9897 / 0.9914. Correcting
# biases layer by layer makes this network worse, clipping ranges at means does.
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

    def level(item: tuple[np.ndarray, float]) -> np.ndarray:
        image, scale = item
        size = level_size(image.shape[:2], scale, smallest)
        return resized([image.astype(np.float32)], size)

    items = [
        (image, scales[place % len(scales)])
        for place, image in enumerate(images)
    ]
    # Levels are made when they are needed: all of them would take gigabytes.
    dataset = nncf.Dataset(items, level)
    with atomic_directory(model / FOLDER, "done", overwrite) as folder:
        for signature, function in functions.items():
            frozen = freeze(function)
            names = sorted(function.structured_outputs)
            converted = openvino.convert_model(frozen.graph)
            for name, tensor in zip(names, frozen.outputs):
                converted.output(tensor.name).tensor.set_names({name})
            small = nncf.quantize(
                converted,
                dataset,
                subset_size=len(items),
                ignored_scope=_HEADS,
                advanced_parameters=_PARAMETERS,
            )
            openvino.save_model(
                small, folder / f"{signature}.xml", compress_to_fp16=False
            )
        (folder / "done").touch()
