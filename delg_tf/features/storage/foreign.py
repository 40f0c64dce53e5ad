"""What all places of other programs' features have in common."""

import abc
import os
from collections.abc import Iterable, Mapping

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.data.decoder import EXTENSIONS
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.foreign.arrays import (
    GLOBAL,
    LOCAL_NAMES,
    ambiguous,
    global_from_array,
    layout_of,
    local_from_arrays,
)
from delg_tf.features.foreign.options import ForeignOptions
from delg_tf.features.local_features import LocalFeatures
from delg_tf.features.storage.base import FeatureSource

# Images that are asked for the layout of descriptors of one that could have
# either.
_ASKED = 200


class ForeignSource(FeatureSource):
    """Reads arrays by the names of images, without the ending of image files.

    Args:
        options: how the arrays are to be understood.
        images: names as the place has them, with what it needs to find them.

    Raises:
        InputError: two images differ in their ending only.
    """

    def __init__(
        self, options: ForeignOptions, images: Iterable[tuple[str, str]]
    ):
        self._options = options
        self._places: dict[str, str] = {}
        self._layout = None if options.layout == "auto" else options.layout
        for name, place in images:
            name = image_name(name)
            if name in self._places:
                raise InputError(
                    f"{self.path} has features of {name} twice: "
                    f"{self._places[name]} and {place}."
                )
            self._places[name] = place

    @abc.abstractmethod
    def _arrays(self, place: str, names: tuple[str, ...]) -> dict:
        """Returns the arrays of these names that there are.

        Raises:
            InputError: the place is damaged.
        """

    @abc.abstractmethod
    def _has(self, place: str, names: tuple[str, ...]) -> bool:
        """Whether there is an array of one of these names."""

    def names(self, kind: str | None = None) -> list[str]:
        """Returns the names of all images; of a kind, those that may have it.

        Files are not opened for it.
        """
        return sorted(self._places)

    def has(self, name: str, kind: str) -> bool:
        """Whether there are arrays of the kind."""
        place = self._places.get(name)
        wanted = (GLOBAL,) if kind == "global" else LOCAL_NAMES
        return place is not None and self._has(place, wanted)

    def formats(self, names: list[str]) -> tuple[str | None, str | None]:
        """Returns float32 for each kind that an image has."""
        local, whole = (
            any(self.has(name, kind) for name in names)
            for kind in ("local", "global")
        )
        return ("float32" if local else None), ("float32" if whole else None)

    def missing_text(self, kind: str) -> str:
        """Names the place."""
        return f"images with {kind} features missing in {self.path}"

    def read_global(self, name: str) -> np.ndarray:
        """Reads the array `global_descriptor`."""
        arrays = self._read(name, (GLOBAL,))
        if GLOBAL not in arrays:
            raise InputError(f"{self._source(name)} has no `{GLOBAL}`.")
        return global_from_array(arrays[GLOBAL], self._source(name))

    def read_encoded(self, name: str) -> EncodedFeatures:
        """Reads local features; they are float32."""
        return EncodedFeatures.encode(self.read_local(name), "float32")

    def read_local(self, name: str) -> LocalFeatures:
        """Reads the arrays of local features."""
        arrays = self._read(name, LOCAL_NAMES)
        source = self._source(name)
        layout = self._layout or layout_of(arrays, source)
        if layout is None:
            layout = self._layout = self._layout_of_others(source)
        return local_from_arrays(arrays, layout, self._options, source)

    def _layout_of_others(self, source: str) -> str:
        """Returns the layout that an image shows which has but one."""
        for name in list(self._places)[:_ASKED]:
            try:
                arrays = self._read(name, LOCAL_NAMES)
                layout = len(arrays) and layout_of(arrays, name)
            except InputError:
                continue
            # Empty ones show nothing.
            if layout and np.size(arrays["descriptors"]):
                return layout
        raise ambiguous(source)

    def _read(self, name: str, names: tuple[str, ...]) -> dict:
        place = self._places.get(name)
        if place is None:
            raise InputError(f"{self.path} has no features of {name}.")
        return self._arrays(place, names)

    def _source(self, name: str) -> str:
        return f"{self.file_of(name, 'local')} ({name})"


def image_name(name: str) -> str:
    """Returns a name without the ending of an image file, if it has one."""
    stem, ending = os.path.splitext(name)
    return stem if ending.lower() in EXTENSIONS else name


def pick(
    arrays: Mapping[str, np.ndarray], names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Returns the arrays of these names that there are."""
    return {name: arrays[name] for name in names if name in arrays}
