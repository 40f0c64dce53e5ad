"""Features of several places as if they were in one."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.storage.base import FeatureSource, Local
from delg_tf.protocols.feature_cache import CachedFeatures


class JoinedSource(FeatureSource):
    """Reads an image's features from the place that it belongs to.

    Args:
        parts: at least one; no name is in two.
    """

    def __init__(self, parts: Sequence[CachedFeatures]):
        self.path = parts[0].place
        self._sources = [part.open() for part in parts]
        self._source_of: Mapping[str, FeatureSource] = {
            name: source
            for part, source in zip(parts, self._sources)
            for name in part.names
        }

    @property
    def model(self) -> str:
        """Identity of the model, if all know the same."""
        known = {source.model for source in self._sources}
        return known.pop() if len(known) == 1 else ""

    def names(self, kind: str | None = None) -> list[str]:
        """Returns the names of all places."""
        return sorted(
            name for source in self._sources for name in source.names(kind)
        )

    def has(self, name: str, kind: str) -> bool:
        """Whether the image's place has such features."""
        return self._of(name).has(name, kind)

    def formats(self, names: list[str]) -> tuple[str | None, str | None]:
        """Returns the formats of the first place, which all have."""
        return self._sources[0].formats(names)

    def missing_text(self, kind: str) -> str:
        """Says it as the first place does."""
        return self._sources[0].missing_text(kind)

    def file_of(self, name: str, kind: str) -> pathlib.Path:
        """Returns the file in the image's place."""
        return self._of(name).file_of(name, kind)

    def read_global(self, name: str) -> np.ndarray:
        """Reads the descriptor from the image's place."""
        return self._of(name).read_global(name)

    def read_encoded(self, name: str) -> EncodedFeatures:
        """Reads local features from the image's place."""
        return self._of(name).read_encoded(name)

    def read_matchable(self, name: str) -> Local:
        """Reads local features from the image's place."""
        return self._of(name).read_matchable(name)

    def _of(self, name: str) -> FeatureSource:
        return self._source_of.get(name, self._sources[0])
