"""Codes of local descriptors.

* float32: the numbers themselves.
* float16: rounded; a unit vector moves by some 0.0002.
* int8: a row is divided by its largest magnitude and takes the whole range
  from -127 to 127. Only its direction is kept, so no scale need be stored. One
  scale for all rows would cost four times the error (measured:
  experiments/compact_features).
* binary: the paper's DELG*, a bit a number, 1 where it is above 0. Decoded
  numbers are +-1 / sqrt(D): unit vectors again, whose squared distance is
  4 / D times the Hamming distance of the codes.
"""

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.features.compact.formats import LOCAL_FORMATS, code_bytes

# Of float32 descriptors; those of other formats have rounded.
_UNIT_TOLERANCE = 0.01
_INT8_MAX = 127

CODE_TYPES = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "int8": np.dtype("i1"),
    "binary": np.dtype("u1"),
}


def check_local_format(local_format: str) -> None:
    """Raises ValueError for an unknown format."""
    if local_format not in LOCAL_FORMATS:
        raise ValueError(
            f"`local_format` must be one of {', '.join(LOCAL_FORMATS)}. "
            f"Received: {local_format!r}."
        )


def code_shape(
    local_format: str, count: int, depth: int
) -> tuple[np.dtype, tuple[int, int]]:
    """Returns dtype and shape of the codes of `count` descriptors."""
    dtype = CODE_TYPES[local_format]
    return dtype, (count, code_bytes(local_format, depth) // dtype.itemsize)


def encode_descriptors(
    descriptors: np.ndarray, local_format: str
) -> np.ndarray:
    """Encodes descriptors.

    Args:
        descriptors: [N, D] float32; for int8 and binary of unit length.
        local_format: one of `LOCAL_FORMATS`.

    Returns:
        [N, D] of `CODE_TYPES`; binary: [N, ceil(D / 8)], the first number in
        the highest bit, unused bits 0.

    Raises:
        InputError: the descriptors do not fit the format.
    """
    check_local_format(local_format)
    if local_format in ("int8", "binary"):
        _require_unit_length(descriptors, local_format)
    if local_format == "binary":
        return np.packbits(descriptors > 0, axis=1)
    if local_format == "int8":
        largest = np.abs(descriptors).max(axis=1, keepdims=True, initial=0)
        factor = _INT8_MAX / np.where(largest > 0, largest, 1)
        return np.rint(descriptors * factor).astype(np.int8)
    with np.errstate(over="ignore"):
        codes = descriptors.astype(CODE_TYPES[local_format])
    if not np.isfinite(codes).all():
        raise InputError(
            "Local descriptors are too large for float16. Use float32."
        )
    return codes


def decode_descriptors(
    codes: np.ndarray, local_format: str, depth: int
) -> np.ndarray:
    """Returns the [N, depth] float32 descriptors of `encode_descriptors`.

    Those of float32 are the codes themselves, which may be read-only.
    """
    check_local_format(local_format)
    if local_format == "binary":
        if not depth:
            return np.zeros((len(codes), 0), np.float32)
        bits = np.unpackbits(codes, axis=1, count=depth)
        size = np.float32(depth**-0.5)
        return np.where(bits, size, -size)
    descriptors = codes.astype(np.float32, copy=False)
    if local_format == "int8":
        norms = np.linalg.norm(descriptors, axis=1, keepdims=True)
        descriptors /= np.where(norms > 0, norms, 1)
    return descriptors


def _require_unit_length(descriptors: np.ndarray, local_format: str) -> None:
    norms = np.linalg.norm(descriptors, axis=1)
    bad = (np.abs(norms - 1) > _UNIT_TOLERANCE) & (norms > 0)
    if bad.any():
        raise InputError(
            f"{local_format} keeps the direction of local descriptors only, "
            f"so they must have unit length, but one has {norms[bad][0]:g}. "
            "Use float16 or float32."
        )
