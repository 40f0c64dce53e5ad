"""Local features of an image, ready to be matched with many others."""

import dataclasses
import functools

import numpy as np

from delg_tf.features.compact.descriptors import decode_descriptors
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.local_features import LocalFeatures

Features = LocalFeatures | EncodedFeatures


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedFeatures:
    """What matching needs of an image's N features.

    Binary codes stay as they are, and descriptors that are signs become codes:
    two such images are matched by Hamming distance.

    Attributes:
        locations: [N, 2] float64, (y, x) in pixels of the original image.
        depth: dimensions of a descriptor, D.
        codes: [N, ceil(D / 8)] uint8, a bit a sign, where descriptors are
            signs; otherwise None.
        magnitude: of the numbers, where descriptors are signs.
    """

    locations: np.ndarray
    depth: int
    codes: np.ndarray | None
    magnitude: np.float32
    _numbers: np.ndarray | None

    @classmethod
    def of(cls, features: Features) -> "PreparedFeatures":
        """Prepares features.

        Args:
            features: numbers, or codes of any format.
        """
        locations = features.locations.astype(np.float64)
        depth = features.depth
        if isinstance(features, EncodedFeatures):
            if features.local_format == "binary":
                size = np.float32(max(depth, 1) ** -0.5)
                return cls(locations, depth, features.codes, size, None)
            features = features.decode()
        numbers = features.descriptors
        if not features.is_binary:
            return cls(locations, depth, None, np.float32(0), numbers)
        codes = np.packbits(numbers > 0, axis=1)
        return cls(locations, depth, codes, abs(numbers[0, 0]), numbers)

    def __len__(self) -> int:
        return len(self.locations)

    @functools.cached_property
    def descriptors(self) -> np.ndarray:
        """[N, D] float32."""
        if self._numbers is not None:
            return self._numbers
        return decode_descriptors(self.codes, "binary", self.depth)
