"""Pre-trained weights of any supported kind, into a network."""

import pathlib
import zipfile

from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.models.delg import Delg
from delg_tf.weights.assign import LoadReport, assign_weights
from delg_tf.weights.checkpoint import is_object_based
from delg_tf.weights.converted import DESCRIPTION, read_converted
from delg_tf.weights.keras_h5 import read_keras
from delg_tf.weights.official import read_official
from delg_tf.weights.source import FORMATS, Pretrained, WeightsSource
from delg_tf.weights.tf_slim import read_tf_slim
from delg_tf.weights.torchvision import read_torchvision

_READERS = {
    "keras": read_keras,
    "tf_slim": read_tf_slim,
    "torchvision": read_torchvision,
    "official": read_official,
    "delg_tf": read_converted,
}
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_TORCH_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")


def read_pretrained(path: PathLike, fmt: str = "auto") -> Pretrained:
    """Reads weights.

    Args:
        path: a file; a checkpoint's prefix (its `.index` file will do); or a
            folder of `tools/convert_weights.py`.
        fmt: one of `FORMATS`, or "auto".

    Raises:
        InputError: there is nothing, or nothing that can be read.
    """
    if fmt not in ("auto", *FORMATS):
        raise InputError(
            f"The format must be one of {('auto', *FORMATS)}. Received: {fmt!r}"
        )
    path = _without_checkpoint_suffix(path)
    if fmt == "auto":
        fmt = _recognise(path)
    elif fmt in ("keras", "torchvision") and not pathlib.Path(path).is_file():
        raise InputError(f"The weights {path} do not exist or are no file.")
    return _READERS[fmt](path)


def describe(path: PathLike, fmt: str = "auto") -> WeightsSource:
    """Says what weights are and which network they need.

    Args:
        path: see `read_pretrained`.
        fmt: one of `FORMATS`, or "auto".

    Raises:
        InputError: there is nothing, or nothing that can be read.
    """
    return read_pretrained(path, fmt).source


def load_pretrained(
    model: Delg, path: PathLike, fmt: str = "auto", check_network: bool = True
) -> LoadReport:
    """Fills a network with weights that were trained elsewhere.

    Args:
        model: its variables built.
        path: see `read_pretrained`.
        fmt: one of `FORMATS`, or "auto".
        check_network: see `assign_weights`.

    Returns:
        What was filled.

    Raises:
        InputError: the file cannot be read, or does not fit the network
            completely; the network is then as it was.
    """
    report = assign_weights(model, read_pretrained(path, fmt), check_network)
    logging.info("%s", report.summary())
    return report


def _without_checkpoint_suffix(path: PathLike) -> str:
    text = str(path)
    if text.endswith(".index"):
        return text.removesuffix(".index")
    prefix, found, _ = text.rpartition(".data-0")
    return prefix if found else text


def _recognise(path: str) -> str:
    """The format of what lies at a path."""
    place = pathlib.Path(path)
    if place.is_dir():
        if (place / DESCRIPTION).is_file():
            return "delg_tf"
        raise InputError(
            f"{path} is a folder without {DESCRIPTION}. Give a file, a "
            "checkpoint's prefix (e.g. logdir/delf_weights), or a folder of "
            "tools/convert_weights.py."
        )
    if not place.is_file():
        if not pathlib.Path(path + ".index").is_file():
            raise InputError(f"The weights {path} do not exist.")
        return "official" if is_object_based(path) else "tf_slim"
    with open(place, "rb") as file:
        if file.read(8) == _HDF5_MAGIC:
            return "keras"
    if place.suffix in _TORCH_SUFFIXES or zipfile.is_zipfile(place):
        return "torchvision"
    if place.suffix in (".h5", ".hdf5"):
        raise InputError(f"{path} is no HDF5 file; it may be cut off.")
    # TensorFlow's oldest checkpoints are one file with any name.
    return "tf_slim"
