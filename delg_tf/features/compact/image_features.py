"""What is stored of one image."""

import dataclasses

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.compact.formats import GLOBAL_FORMATS
from delg_tf.features.local_features import LocalFeatures

GLOBAL_TYPES = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}


@dataclasses.dataclass(frozen=True, eq=False)
class CompactImage:
    """Features of one image as they are stored.

    Attributes:
        global_descriptor: `[D]` float32 or float16; `[0]` for an image that is
            too small; None if there is none.
        local: local features; None if there are none.
    """

    global_descriptor: np.ndarray | None
    local: EncodedFeatures | None

    @classmethod
    def make(
        cls,
        global_descriptor: np.ndarray | None,
        local: LocalFeatures | EncodedFeatures | None,
        local_format: str,
        global_format: str = "float32",
    ) -> "CompactImage":
        """Encodes an image's features.

        Args:
            global_descriptor: `[D]` real, or None.
            local: local features, encoded in any way or not, or None.
            local_format: one of `LOCAL_FORMATS`.
            global_format: one of `GLOBAL_FORMATS`.

        Raises:
            InputError: they do not fit the format.
            ValueError: there is no such format.
        """
        if global_format not in GLOBAL_FORMATS:
            raise ValueError(
                f"`global_format` must be one of {', '.join(GLOBAL_FORMATS)}. "
                f"Received: {global_format!r}."
            )
        if global_descriptor is not None:
            global_descriptor = _encode_global(
                np.asarray(global_descriptor), global_format
            )
        if isinstance(local, LocalFeatures):
            local = EncodedFeatures.encode(local, local_format)
        elif local is not None:
            local = local.to_format(local_format)
        return cls(global_descriptor, local)

    @property
    def nbytes(self) -> int:
        """Bytes of the numbers."""
        size = 0 if self.local is None else self.local.nbytes
        vector = self.global_descriptor
        return size + (0 if vector is None else vector.nbytes)


def _encode_global(descriptor: np.ndarray, global_format: str) -> np.ndarray:
    if descriptor.ndim != 1 or descriptor.dtype.kind != "f":
        raise ValueError(
            "`global_descriptor` must be a vector of floating-point numbers. "
            f"Received: {descriptor.dtype} of shape {descriptor.shape}."
        )
    with np.errstate(over="ignore"):
        vector = descriptor.astype(GLOBAL_TYPES[global_format])
    if not np.isfinite(vector).all():
        raise InputError(
            f"A global descriptor is not finite or too large in {global_format}"
        )
    return vector
