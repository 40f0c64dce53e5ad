"""Photographs of a page, as far as they can still be read."""

import os
import pathlib
from collections.abc import Callable

import numpy as np

from delg_tf.common.files import PathLike
from delg_tf.data.decoder import EXTENSIONS
from delg_tf.extraction.images import UnreadableImageError, load_image

# A folder in which `<name>.jpg` lies, or `a/b/c/<name>.jpg` (the layout of
# Google Landmarks v2), or what returns the file of a name, None for none.
Images = PathLike | Callable[[str], PathLike | None]


class Photographs:
    """Finds photographs by name, and remembers which were not there.

    Attributes:
        missing: paths (or names) of what could not be shown, and why.
    """

    def __init__(self, images: Images | None):
        """Remembers the folder, which need not exist any more.

        Args:
            images: where they are; None: there are no photographs.
        """
        self._find = images if callable(images) else None
        self._directory = None
        if images is not None and self._find is None:
            self._directory = pathlib.Path(images)
        self.missing: dict[str, str] = {}

    def path(self, name: str) -> pathlib.Path | None:
        """Returns the file of an image, or None if there is none."""
        if self._find is not None:
            found = self._find(name)
            return None if found is None else pathlib.Path(found)
        if self._directory is None:
            return None
        places = [self._directory]
        if len(name) > 2 and "/" not in name[:3]:
            places.append(self._directory / name[0] / name[1] / name[2])
        for place in places:
            for ending in (*EXTENSIONS, ""):
                path = place / f"{name}{ending}"
                if os.path.isfile(path):
                    return path
        return None

    def read(self, name: str) -> np.ndarray | None:
        """Returns uint8 [height, width, 3] RGB, upright; None if it is gone."""
        if self._directory is None and self._find is None:
            return None
        path = self.path(name)
        if path is None or not path.is_file():
            where = str(path or f"{self._directory or ''}/{name}.jpg")
            self.missing[where] = "there is no such file"
            return None
        try:
            return load_image(path).pixels
        except UnreadableImageError as error:
            self.missing[str(path)] = str(error)
            return None
