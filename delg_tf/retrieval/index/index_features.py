"""Features in an index, read like those in files."""

import pathlib

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.storage.base import FeatureSource
from delg_tf.retrieval.index.base import ImageIndex


class IndexFeatures(FeatureSource):
    """Reads features of the images of any index; see `FeatureSource`."""

    def __init__(self, index: ImageIndex):
        self._index = index
        self.path = pathlib.Path(index.place)

    @property
    def model(self) -> str:
        """What the features were extracted with; "" if not known."""
        return self._index.settings.model

    def names(self, kind: str | None = None) -> list[str]:
        """Returns the sorted names."""
        if kind == "local" and self._index.settings.local_format is None:
            return []
        return sorted(self._index.names)

    def has(self, name: str, kind: str) -> bool:
        """Whether the image is there and the index keeps the kind."""
        kept = kind == "global" or self._index.settings.local_format is not None
        return kept and name in self._index

    def formats(self, names: list[str]) -> tuple[str | None, str | None]:
        """Returns the format of local features; global ones are numbers."""
        return self._index.settings.local_format, "float32"

    def missing_text(self, kind: str) -> str:
        """Names the index."""
        return f"images with {kind} features missing in the index {self.path}"

    def file_of(self, name: str, kind: str) -> pathlib.Path:
        """Returns the index's place."""
        return self.path

    def read_global(self, name: str) -> np.ndarray:
        """Returns the descriptor; of length 0 where the image has none."""
        descriptor = self._index.descriptors([name])[0]
        return descriptor if descriptor.any() else descriptor[:0]

    def read_encoded(self, name: str) -> EncodedFeatures:
        """Returns the local features."""
        return self._index.local(name)


def local_features_of(index: ImageIndex) -> FeatureSource | str:
    """Returns where local features of an index's images are.

    That is the index, or if it keeps none the folder or store that it was
    built from.

    Raises:
        InputError: neither is known.
    """
    if index.settings.local_format is not None:
        return IndexFeatures(index)
    if not index.settings.features_dir:
        raise InputError(
            f"The index {index.place} keeps no local features and does not "
            "say where they are. Name their folder or store."
        )
    return index.settings.features_dir
