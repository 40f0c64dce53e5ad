"""Which kind of place a path is, or is to be."""

import pathlib

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.features.compact.packed_file import (
    PACKED_SUFFIX,
    read_packed_local,
)
from delg_tf.features.compact.store_info import StoreInfo
from delg_tf.features.feature_io import read_local_features
from delg_tf.features.foreign.options import ForeignOptions
from delg_tf.features.local_features import LocalFeatures
from delg_tf.features.storage import hdf5
from delg_tf.features.storage.base import FeatureSink, FeatureSource
from delg_tf.features.storage.folder import (
    OUR_SUFFIXES,
    FolderSource,
    OfficialFiles,
    PackedFiles,
)
from delg_tf.features.storage.numpy_folder import (
    NUMPY_SUFFIXES,
    NumpyFolder,
    has_numpy_files,
    read_numpy_file,
)
from delg_tf.features.storage.single_file import StoreFile, StoreSource

OUTPUT_KINDS = ("official", "packed", "store")


def open_source(
    path: PathLike, foreign: ForeignOptions | None = None
) -> FeatureSource:
    """Opens a place of features; what lies there says which kind it is.

    That is a folder of feature files, official or packed; a store; an HDF5
    file; or a folder of NumPy files that has none of ours.

    Args:
        path: the folder or file.
        foreign: how arrays of other programs are to be understood.

    Raises:
        InputError: it is missing, none of these, or ours in spite of
            `foreign`.
    """
    path = pathlib.Path(path)
    options = foreign or ForeignOptions()
    if path.is_file() and _starts_with(path, hdf5.SIGNATURE):
        return hdf5.Hdf5Source(path, options)
    if path.is_dir() and has_numpy_files(path, OUR_SUFFIXES):
        return NumpyFolder(path, options)
    if foreign is not None:
        raise InputError(
            f"{path} is no HDF5 file and no folder of NumPy files, to which "
            "--origin and the like belong."
        )
    return StoreSource(path) if path.is_file() else FolderSource(path)


def _starts_with(path: pathlib.Path, start: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(start)) == start
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def read_local_of(path: PathLike, name: str | None = None) -> LocalFeatures:
    """Returns the local features of one image.

    Args:
        path: a file of the image, official, packed or NumPy's; with `name` a
            place that `open_source` opens.
        name: of the image.

    Raises:
        InputError: they are missing or damaged.
    """
    if name is not None:
        return open_source(path).read_local(name)
    path = pathlib.Path(path)
    if path.suffix in NUMPY_SUFFIXES:
        return read_numpy_file(path)
    if path.suffix != PACKED_SUFFIX:
        return read_local_features(path)
    return read_packed_local(path).decode()


def open_sink(path: PathLike, kind: str, info: StoreInfo) -> FeatureSink:
    """Opens a place to write to; what is there already stays.

    Args:
        path: folder, or file of a store.
        kind: one of `OUTPUT_KINDS`.
        info: the formats; official files are float32 whatever it says.

    Raises:
        InputError: something else is there.
    """
    if kind == "store":
        if pathlib.Path(path).is_dir():
            raise InputError(f"{path} is a folder; a store is a file.")
        return StoreFile(path, info)
    if pathlib.Path(path).is_file():
        raise InputError(f"{path} is a file; {kind} features need a folder.")
    if kind == "packed":
        return PackedFiles(path, info.local_format, info.global_format)
    return OfficialFiles(
        path, info.global_format is not None, info.local_format is not None
    )
