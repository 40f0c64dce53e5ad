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
from delg_tf.features.local_features import LocalFeatures
from delg_tf.features.storage.base import FeatureSink, FeatureSource
from delg_tf.features.storage.folder import (
    FolderSource,
    OfficialFiles,
    PackedFiles,
)
from delg_tf.features.storage.single_file import StoreFile, StoreSource

OUTPUT_KINDS = ("official", "packed", "store")


def open_source(path: PathLike) -> FeatureSource:
    """Opens a folder of feature files, official or packed, or a store.

    Raises:
        InputError: it is missing, or none of these.
    """
    if pathlib.Path(path).is_file():
        return StoreSource(path)
    return FolderSource(path)


def read_local_of(path: PathLike, name: str | None = None) -> LocalFeatures:
    """Returns the local features of one image.

    Args:
        path: a file of the image, official or packed; with `name` a folder or
            a store.
        name: of the image.

    Raises:
        InputError: they are missing or damaged.
    """
    if name is not None:
        return open_source(path).read_local(name)
    path = pathlib.Path(path)
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
