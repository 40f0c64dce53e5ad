"""Features in one HDF5 file, as hloc (Hierarchical-Localization) writes it.

A group an image, called as the image file is, holds `keypoints` [N, 2], (x, y)
from the centre of the first pixel, `descriptors` [D, N], `scores` [N] and
perhaps `scales` [N]; or a `global_descriptor` [D]; or both. hloc rounds to
float16 unless told otherwise: places beyond 512 pixels to half a pixel.
"""

import pathlib
from collections.abc import Iterator

import h5py

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.features.foreign.arrays import GLOBAL, LOCAL_NAMES
from delg_tf.features.foreign.options import ForeignOptions
from delg_tf.features.storage.foreign import ForeignSource

SIGNATURE = b"\x89HDF\r\n\x1a\n"


class Hdf5Source(ForeignSource):
    """Reads such a file.

    Args:
        path: the file.
        options: how the arrays are to be understood.

    Raises:
        InputError: it is damaged, or is being written.
    """

    def __init__(self, path: PathLike, options: ForeignOptions):
        self.path = pathlib.Path(path)
        try:
            self._file = h5py.File(self.path, "r")
            images = list(_images(self._file))
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"{path} is damaged or being written: {error}"
            ) from error
        super().__init__(options, images)

    def file_of(self, name: str, kind: str) -> pathlib.Path:
        """Returns the file."""
        return self.path

    def _arrays(self, place: str, names: tuple[str, ...]) -> dict:
        # h5py lets one thread in at a time.
        try:
            group = self._file[place]
            return {
                name: group[name][()]
                for name in names
                if isinstance(group.get(name), h5py.Dataset)
            }
        except (OSError, RuntimeError, KeyError) as error:
            raise InputError(
                f"{self.path}, {place} cannot be read: {error}"
            ) from error

    def _has(self, place: str, names: tuple[str, ...]) -> bool:
        return any(name in self._file[place] for name in names)


def _images(group: h5py.Group, path: str = "") -> Iterator[tuple[str, str]]:
    """Yields the paths of all groups that hold features."""
    names = set(group)
    if path and names.intersection((*LOCAL_NAMES, GLOBAL)):
        yield path, path
        return
    for name in sorted(names):
        # Names of images in folders are groups in groups.
        if isinstance(group[name], h5py.Group):
            yield from _images(group[name], f"{path}/{name}" if path else name)
