"""int8 copies of an export, calibrated and judged on the user's images."""

import dataclasses
import importlib.util
import itertools
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import write_json
from delg_tf.common.progress import Progress
from delg_tf.export.frozen import levels_of
from delg_tf.extraction.extractor import Extractor, PreparedImage
from delg_tf.extraction.fidelity import Fidelity, compare
from delg_tf.extraction.image_list import ImageItem
from delg_tf.extraction.images import UnreadableImageError, load_image
from delg_tf.extraction.levels.quantised import FOLDER
from delg_tf.extraction.runtimes.load import load_saved_model
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

    model = pathlib.Path(config.model_path)
    exact = Extractor(config, "openvino", "float32")
    if exact.metadata is None:
        raise InputError(f"{model} is no export of delg-tf.")
    order = np.random.default_rng(seed).permutation(len(items))
    images = list(
        itertools.islice(
            _readable(exact, [items[i] for i in order]), calibration + compared
        )
    )
    if not images:
        raise InputError(f"None of the {len(items)} images can be read.")
    # Kept alive for its functions.
    loaded = load_saved_model(model)
    quantise(
        model,
        levels_of(loaded),
        [image.pixels for image in images[:calibration]],
        list(config.image_scales),
        exact.metadata.smallest_level,
        overwrite,
    )
    fidelity = compare(
        exact,
        Extractor(config, "openvino", "int8"),
        images[calibration:] or images[:compared],
    )
    write_json(model / FOLDER / FIDELITY_FILE, dataclasses.asdict(fidelity))
    return fidelity


def _readable(
    extractor: Extractor, items: Sequence[ImageItem]
) -> Iterator[PreparedImage]:
    with Progress(len(items), "Images", "image") as progress:
        for item in items:
            progress.advance()
            try:
                yield extractor.prepare(load_image(item.path, item.box))
            except UnreadableImageError as error:
                logging.warning("Skipped %s: %s", item.path, error)
