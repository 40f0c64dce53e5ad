"""Features that were extracted just now, read like those in files."""

import pathlib
from collections.abc import Mapping

import numpy as np

from delg_tf.extraction.image_extractor import ImageFeatures
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.local_features import LocalFeatures
from delg_tf.features.storage.base import FeatureSource


class QueryFeatures(FeatureSource):
    """Features in memory; see `FeatureSource`.

    Args:
        features: by name; all with local features.
    """

    def __init__(self, features: Mapping[str, ImageFeatures]):
        self.path = pathlib.Path("queries")
        self._features = dict(features)

    def names(self, kind: str | None = None) -> list[str]:
        """Returns the sorted names."""
        return sorted(self._features)

    def has(self, name: str, kind: str) -> bool:
        """Whether it is one of the queries."""
        return name in self._features

    def formats(self, names: list[str]) -> tuple[str | None, str | None]:
        """Returns that nothing is encoded."""
        return "float32", "float32"

    def missing_text(self, kind: str) -> str:
        """Names the queries."""
        return f"queries without {kind} features"

    def file_of(self, name: str, kind: str) -> pathlib.Path:
        """Returns the query itself."""
        return pathlib.Path(name)

    def read_global(self, name: str) -> np.ndarray:
        """Returns the descriptor."""
        return self._features[name].global_descriptor

    def read_local(self, name: str) -> LocalFeatures:
        """Returns the local features."""
        return self._features[name].local

    def read_encoded(self, name: str) -> EncodedFeatures:
        """Returns the local features as float32."""
        return EncodedFeatures.encode(self.read_local(name), "float32")
