"""Weights in this package's own layout: `weights.npz` and `weights.json`."""

import dataclasses
import pathlib
import zipfile

import numpy as np

from delg_tf.common.atomic_directory import atomic_directory
from delg_tf.common.errors import InputError
from delg_tf.common.files import (
    PathLike,
    existing_file,
    read_json,
    write_json,
)
from delg_tf.models.config import (
    INPUT_NORMALISATIONS,
    STEMS,
    STRIDE_POSITIONS,
)
from delg_tf.weights.check import (
    backbone_shapes,
    check_backbone_kind,
    check_complete,
)
from delg_tf.weights.collect import collect
from delg_tf.weights.names import part_of
from delg_tf.weights.source import PARTS, Pretrained

DESCRIPTION = "weights.json"
_ARRAYS = "weights.npz"
_NETWORK = ("input_normalisation", "stride_position", "stem", "bn_epsilon")


def save_converted(
    pretrained: Pretrained,
    folder: PathLike,
    backbone: str | None = None,
    overwrite: bool = False,
) -> None:
    """Writes weights so that `read_converted` reads them again.

    Args:
        pretrained: the weights; their backbone is checked for completeness.
        folder: to be made.
        backbone: the network that they must be; None: any known one.
        overwrite: whether an older folder of this kind is replaced.

    Raises:
        InputError: the backbone is incomplete or another one, or the folder
            is taken.
    """
    source = pretrained.source
    wanted = backbone or source.backbone or "resnet50"
    check_backbone_kind(pretrained, wanted)
    check_complete(pretrained, backbone_shapes(wanted), ["backbone"])
    with atomic_directory(folder, DESCRIPTION, overwrite) as new:
        with open(new / _ARRAYS, "xb") as file:
            np.savez(file, **pretrained.arrays)
        write_json(
            new / DESCRIPTION,
            dataclasses.asdict(source) | {"left_out": pretrained.left_out},
        )


def read_converted(folder: PathLike) -> Pretrained:
    """Reads a folder of `save_converted`.

    Raises:
        InputError: a file is missing or damaged.
    """
    folder = pathlib.Path(folder)
    path = folder / DESCRIPTION
    description = read_json(path)
    try:
        network = {name: description[name] for name in _NETWORK}
        network["bn_epsilon"] = float(network["bn_epsilon"])
        right = (
            network["input_normalisation"] in INPUT_NORMALISATIONS
            and network["stride_position"] in STRIDE_POSITIONS
            and network["stem"] in STEMS
            and network["bn_epsilon"] > 0
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    if not right:
        raise InputError(f"{path} is damaged: {network}")
    file = existing_file(folder / _ARRAYS, "weights file")
    try:
        with np.load(file, allow_pickle=False) as archive:
            raw = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{file} is damaged: {error}") from error
    return collect(str(folder), "delg_tf", raw, _known, **network)


def _known(name: str) -> str | None:
    return name if part_of(name) in PARTS else None
