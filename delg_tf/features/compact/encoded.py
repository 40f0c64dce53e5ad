"""Local features of one image, with their codes as they are."""

import dataclasses

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.features.compact.descriptors import (
    code_shape,
    decode_descriptors,
    encode_descriptors,
)
from delg_tf.features.compact.geometry import (
    Geometry,
    encode_geometry,
    table_type,
)
from delg_tf.features.local_features import LocalFeatures


@dataclasses.dataclass(frozen=True, eq=False)
class EncodedFeatures:
    """N local features in one of `LOCAL_FORMATS`.

    Who can work on codes takes `codes` and `locations`: the Hamming distance
    of binary codes orders pairs as the distance of their descriptors does.

    Attributes:
        local_format: the format.
        depth: dimensions of a descriptor, D.
        codes: [N, W], see `descriptors.encode_descriptors`; may be read-only.
        geometry: the rest.
    """

    local_format: str
    depth: int
    codes: np.ndarray
    geometry: Geometry

    @classmethod
    def encode(
        cls, features: LocalFeatures, local_format: str
    ) -> "EncodedFeatures":
        """Encodes features.

        Raises:
            InputError: the descriptors do not fit the format: see there.
            ValueError: there is no such format.
        """
        return cls(
            local_format,
            features.depth,
            encode_descriptors(features.descriptors, local_format),
            encode_geometry(features, exact=local_format == "float32"),
        )

    @classmethod
    def from_buffers(
        cls,
        local_format: str,
        depth: int,
        codes: bytes,
        geometry: bytes,
        oriented: bool,
        units: tuple[float, float, float],
    ) -> "EncodedFeatures":
        """Views stored bytes; nothing is copied.

        Args:
            local_format: the format.
            depth: dimensions of a descriptor.
            codes: bytes of the codes.
            geometry: bytes of the geometry's table.
            oriented: whether that has orientations.
            units: see `Geometry.units`.

        Raises:
            InputError: the two do not have the same number of rows.
        """
        kind = table_type(local_format == "float32", oriented)
        count, rest = divmod(len(geometry), kind.itemsize)
        dtype, shape = code_shape(local_format, count, depth)
        if rest or len(codes) != shape[0] * shape[1] * dtype.itemsize:
            raise InputError("codes and places differ in their number")
        return cls(
            local_format,
            depth,
            np.frombuffer(codes, dtype).reshape(shape),
            Geometry(np.frombuffer(geometry, kind), *units),
        )

    def __len__(self) -> int:
        return len(self.geometry)

    @property
    def nbytes(self) -> int:
        """Bytes of codes and geometry."""
        return self.codes.nbytes + self.geometry.table.nbytes

    @property
    def locations(self) -> np.ndarray:
        """[N, 2] float32, (y, x) in pixels of the original image."""
        return self.geometry.locations

    def descriptors(self) -> np.ndarray:
        """Returns the decoded descriptors, [N, D] float32."""
        return decode_descriptors(self.codes, self.local_format, self.depth)

    def decode(self) -> LocalFeatures:
        """Returns the features as numbers.

        Raises:
            InputError: stored numbers are not finite.
        """
        try:
            return LocalFeatures(
                locations=self.geometry.locations,
                descriptors=self.descriptors(),
                scales=self.geometry.scales,
                attention=self.geometry.attention,
                orientations=self.geometry.orientations,
            )
        except ValueError as error:
            raise InputError(f"local features are damaged: {error}") from error

    def to_format(self, local_format: str) -> "EncodedFeatures":
        """Returns them in another format; themselves in their own."""
        if local_format == self.local_format:
            return self
        return EncodedFeatures.encode(self.decode(), local_format)
