"""Features in a folder of NumPy files, one an image.

`.npz`, or what is one under the endings that programs give it (D2-Net's
`IMAGE.jpg.d2-net`, R2D2's `IMAGE.jpg.r2d2`, ...), with the arrays of
`features.foreign.arrays`. `.npy`: a structured array with these fields, or a
global descriptor alone.
"""

import os
import pathlib
import zipfile
from collections.abc import Iterator

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_directory
from delg_tf.features.foreign.arrays import (
    GLOBAL,
    LOCAL_NAMES,
    ambiguous,
    layout_of,
    local_from_arrays,
)
from delg_tf.features.foreign.options import ForeignOptions
from delg_tf.features.local_features import LocalFeatures
from delg_tf.features.storage.foreign import ForeignSource, pick

# Others can be renamed.
NUMPY_SUFFIXES = (
    ".npz",
    ".npy",
    ".d2-net",
    ".r2d2",
    ".sosnet",
    ".sp",
    ".superpoint",
)


class NumpyFolder(ForeignSource):
    """Reads such a folder, with its subfolders.

    Args:
        features_dir: the folder.
        options: how the arrays are to be understood.

    Raises:
        InputError: there is no such folder.
    """

    def __init__(self, features_dir: PathLike, options: ForeignOptions):
        self.path = existing_directory(features_dir, "features folder")
        super().__init__(options, _images(self.path))

    def file_of(self, name: str, kind: str) -> pathlib.Path:
        """Returns the image's file, or the one that it would have."""
        return self.path / self._places.get(name, f"{name}.npz")

    def _arrays(self, place: str, names: tuple[str, ...]) -> dict:
        return read_arrays(self.path / place, names)

    def _has(self, place: str, names: tuple[str, ...]) -> bool:
        try:
            return bool(read_arrays(self.path / place, names))
        except InputError:
            # Damaged, which reading tells.
            return True


def read_arrays(path: pathlib.Path, names: tuple[str, ...]) -> dict:
    """Returns the arrays of these names in a file.

    Raises:
        InputError: it is missing, damaged, or holds pickled objects.
    """
    try:
        # Unpickling runs whatever code a file asks for.
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return pick(_fields(loaded), names)
        with loaded:
            return pick(loaded, names)
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise InputError(f"{path} cannot be read as arrays: {error}") from error
    except zipfile.BadZipFile as error:
        raise InputError(f"{path} is damaged: {error}") from error


def read_numpy_file(path: pathlib.Path) -> LocalFeatures:
    """Reads one image's local features.

    Raises:
        InputError: the file is missing, damaged or ambiguous.
    """
    arrays = read_arrays(path, LOCAL_NAMES)
    layout = layout_of(arrays, str(path))
    if layout is None:
        raise ambiguous(str(path))
    return local_from_arrays(arrays, layout, ForeignOptions(), str(path))


def has_numpy_files(folder: pathlib.Path, ours: set[str]) -> bool:
    """Whether a folder has NumPy files and none of ours.

    Args:
        folder: searched with its subfolders, until one of ours is found.
        ours: endings of our files.
    """
    found = False
    for _, _, names in os.walk(folder):
        endings = {os.path.splitext(name)[1] for name in names}
        if endings & ours:
            return False
        found = found or bool(endings.intersection(NUMPY_SUFFIXES))
    return found


def _fields(array: np.ndarray) -> dict[str, np.ndarray]:
    if array.dtype.names is None:
        return {GLOBAL: array}
    return {name: array[name] for name in array.dtype.names}


def _images(folder: pathlib.Path) -> Iterator[tuple[str, str]]:
    for where, _, names in os.walk(folder):
        for name in sorted(names):
            stem, ending = os.path.splitext(name)
            if ending in NUMPY_SUFFIXES:
                place = pathlib.Path(where, name).relative_to(folder)
                yield str(place.with_name(stem)), str(place)
