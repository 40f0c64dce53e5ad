"""Files for other programs beside a SavedModel, each checked."""

import pathlib
from typing import Any

import tensorflow as tf

from delg_tf.common.atomic_directory import atomic_directory
from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, write_json
from delg_tf.data.class_labels import FILE_NAME as LABELS
from delg_tf.export.agreement import Agreement
from delg_tf.export.calibration import calibration_images
from delg_tf.export.check import Check
from delg_tf.export.check_files import check_litert, check_onnx
from delg_tf.export.formats import (
    CHECK_FILE,
    EXTRA,
    IMAGE_FILE,
    INT8,
    ONNX,
    FormatOptions,
    format_folder,
)
from delg_tf.export.frozen import levels_of
from delg_tf.export.litert_files import (
    convert_to_litert,
    in_precision,
    save_litert,
)
from delg_tf.export.metadata import load_metadata
from delg_tf.export.onnx_files import write_onnx
from delg_tf.export.reference import saved_network
from delg_tf.export.serving import SERVE
from delg_tf.models.stored_config import EXPORT_FILE


def convert_export(
    path: PathLike, options: FormatOptions, overwrite: bool = False
) -> list[Agreement]:
    """Adds files for other programs to an export.

    Args:
        path: of the export.
        options: which files.
        overwrite: whether earlier files are replaced.

    Returns:
        How far each is from the SavedModel's own level functions.

    Raises:
        InputError: it is no export of this version, a package is missing, the
            files exist, or they are too far from the SavedModel.
    """
    path = pathlib.Path(path)
    metadata = load_metadata(path)
    if metadata is None or not metadata.scales:
        raise InputError(
            f"{path} is no export of this version of delg-tf. Export it again "
            "with tools/export_model.py."
        )
    loaded = tf.saved_model.load(str(path))
    check = Check(saved_network(levels_of(loaded)), metadata)
    return write_formats(path, loaded, options, check, overwrite)


def write_formats(
    model: pathlib.Path,
    loaded: Any,
    options: FormatOptions,
    check: Check,
    overwrite: bool = False,
) -> list[Agreement]:
    """Writes the files, and compares them.

    Args:
        model: folder of the SavedModel.
        loaded: it.
        options: which files.
        check: what is expected.
        overwrite: whether earlier files are replaced.

    Returns:
        How far each is from what is expected.

    Raises:
        InputError: see `convert_export`.
    """
    texts = {
        file.name: file.read_text(encoding="utf-8")
        for file in (model / EXPORT_FILE, model / EXTRA / LABELS)
        if file.is_file()
    }
    wanted = [name for name in options.formats if name != ONNX]
    if wanted and check.metadata.iou_threshold < 1:
        raise InputError(
            "LiteRT has no suppression of overlapping features of a batch: "
            "export with --iou=1 for it."
        )
    agreements = []
    if ONNX in options.formats:
        place = format_folder(model, ONNX)
        with atomic_directory(place, CHECK_FILE, overwrite) as folder:
            write_onnx(levels_of(loaded), folder, texts)
            agreements.append(_noted(folder, check_onnx(folder, check)))
    if wanted:
        if INT8 in wanted:
            images = calibration_images(
                options.calibration_images_dir,
                options.calibration_images,
                options.seed,
            )
        exact = convert_to_litert(loaded, loaded.signatures[SERVE])
        for name in wanted:
            place = format_folder(model, name)
            with atomic_directory(place, CHECK_FILE, overwrite) as folder:
                small = in_precision(
                    exact, name, images if name == INT8 else ()
                )
                save_litert(folder / IMAGE_FILE, small, texts)
                found = check_litert(folder / IMAGE_FILE, name, check)
                agreements.append(_noted(folder, found))
    return agreements


def _noted(folder: pathlib.Path, agreement: Agreement) -> Agreement:
    """Writes the agreement beside the files."""
    write_json(
        folder / CHECK_FILE,
        {"differences": agreement.differences, "cosines": agreement.cosines},
    )
    return agreement
