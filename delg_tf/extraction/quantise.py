"""int8 copies of an export, calibrated and judged on the user's images."""

import dataclasses
import functools
import importlib.util
import pathlib
from collections.abc import Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import write_json
from delg_tf.extraction.extractor import Extractor
from delg_tf.extraction.fidelity import Fidelity, compare
from delg_tf.extraction.image_list import ImageItem
from delg_tf.extraction.images import UnreadableImageError, load_image
from delg_tf.extraction.levels.quantised import FOLDER
from delg_tf.protos import delf_config_pb2

FIDELITY_FILE = "fidelity.json"


def quantise_export(
    config: delf_config_pb2.DelfConfig,
    items: Sequence[ImageItem],
    calibration: int = 280,
    compared: int = 20,
    seed: int = 0,
    overwrite: bool = False,
) -> Fidelity:
    """Adds int8 copies to an exported model, and compares them with float32.

    Args:
        config: of extraction; names the model.
        items: images to choose from; unreadable ones are passed over.
        calibration: images that ranges are measured on, at most.
        compared: other images that features are compared on, at most; of a
            small collection they are the same ones.
        seed: of the choice.
        overwrite: whether earlier copies are replaced.

    Returns:
        The comparison, which is written beside the copies, too.

    Raises:
        InputError: NNCF is missing, the model is no export of ours, copies
            exist, or no image is readable.
    """
    if importlib.util.find_spec("nncf") is None:
        raise InputError("int8 needs NNCF: pip install 'delg-tf[int8]'.")
    from delg_tf.extraction.levels.quantisation import quantise

    exact = Extractor(config, "openvino", "float32")
    order = np.random.default_rng(seed).permutation(len(items))
    chosen = _readable([items[i] for i in order], calibration + compared)
    if not chosen:
        raise InputError(f"None of the {len(items)} images can be read.")

    def prepared(item: ImageItem):
        return exact.prepare(load_image(item.path, item.box))

    model = pathlib.Path(config.model_path)
    quantise(
        model,
        [
            functools.partial(lambda item: prepared(item).pixels, item)
            for item in chosen[:calibration]
        ],
        list(config.image_scales),
        overwrite,
    )
    others = chosen[calibration:] or chosen[:compared]
    fidelity = compare(
        exact,
        Extractor(config, "openvino", "int8"),
        [prepared(item) for item in others],
    )
    write_json(model / FOLDER / FIDELITY_FILE, dataclasses.asdict(fidelity))
    return fidelity


def _readable(items: Sequence[ImageItem], number: int) -> list[ImageItem]:
    found = []
    for item in items:
        if len(found) == number:
            break
        try:
            load_image(item.path, item.box)
        except UnreadableImageError:
            continue
        found.append(item)
    return found
