"""int8 copies of an export's level functions, by OpenVINO's NNCF.

Post-training quantisation: weights become int8, activations get ranges that
are measured on images of the user's own.
"""

import pathlib
from collections.abc import Callable, Sequence

import nncf
import numpy as np
import openvino

from delg_tf.common.atomic_directory import atomic_directory
from delg_tf.common.progress import Progress
from delg_tf.extraction.levels.frozen import freeze, load_levels
from delg_tf.extraction.levels.pyramid import level_size, resized
from delg_tf.extraction.levels.quantised import FOLDER


def quantise(
    model: pathlib.Path,
    images: Sequence[Callable[[], np.ndarray]],
    scales: Sequence[float],
    overwrite: bool = False,
) -> None:
    """Writes the int8 copies into the export's folder.

    Args:
        model: folder of the SavedModel.
        images: functions that load images for calibration, uint8
            `[H, W, 3]`; each is used at one of the scales, in turn.
        scales: of the pyramid.
        overwrite: whether earlier copies are replaced.

    Raises:
        InputError: the model cannot be loaded, or copies exist.
    """
    with atomic_directory(model / FOLDER, "done", overwrite) as folder:
        functions = load_levels(model)
        levels = list(_levels(images, scales))
        for signature, function in functions.items():
            frozen = freeze(function)
            names = sorted(function.structured_outputs)
            converted = openvino.convert_model(frozen.graph)
            for name, tensor in zip(names, frozen.outputs):
                converted.output(tensor.name).tensor.set_names({name})
            small = nncf.quantize(
                converted, nncf.Dataset(levels), subset_size=len(levels)
            )
            openvino.save_model(
                small, folder / f"{signature}.xml", compress_to_fp16=False
            )
        (folder / "done").touch()


def _levels(
    images: Sequence[Callable[[], np.ndarray]], scales: Sequence[float]
):
    with Progress(len(images), "Calibration images", "image") as progress:
        for place, load in enumerate(images):
            image = load()
            scale = scales[place % len(scales)]
            size = level_size(image.shape[:2], scale)
            yield resized([image.astype(np.float32)], size)
            progress.advance()
