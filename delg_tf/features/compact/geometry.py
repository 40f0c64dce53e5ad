"""Places, scales and scores of local features in few bytes.

float32 features keep them as they are, 16 bytes. All others take 10 bytes:

* y, x: three bytes each, in steps of 1/256 pixel up to 32,767 pixels from the
  origin; of larger images the step is doubled until they fit.
* scale, attention: float16 times a power of two that suits the image, so that
  no score is too large.

Orientations take 4 or 2 bytes more, where one is not 0.
"""

import dataclasses
import math

import numpy as np

from delg_tf.features.local_features import LocalFeatures

# Signed 24-bit integers, stored with an offset as unsigned ones.
_OFFSET = 1 << 23
_FINEST_STEP = 2.0**-8


@dataclasses.dataclass(frozen=True, eq=False)
class Geometry:
    """What N features have beside descriptors, as it is stored.

    Attributes:
        table: [N] of `table_type`.
        location_step: pixels that 1 of an integer location means.
        scale_unit: what 1 of a float16 scale means.
        attention_unit: likewise.
    """

    table: np.ndarray
    location_step: float = 1.0
    scale_unit: float = 1.0
    attention_unit: float = 1.0

    def __len__(self) -> int:
        return len(self.table)

    @property
    def is_exact(self) -> bool:
        """Whether the numbers are float32 as they were."""
        return self.table.dtype["scale"] == np.float32

    @property
    def is_oriented(self) -> bool:
        """Whether orientations are stored."""
        return "orientation" in self.table.dtype.names

    @property
    def units(self) -> tuple[float, float, float]:
        """`location_step`, `scale_unit` and `attention_unit`."""
        return self.location_step, self.scale_unit, self.attention_unit

    @property
    def locations(self) -> np.ndarray:
        """[N, 2] float32, (y, x) in pixels of the original image."""
        columns = [self.table["y"], self.table["x"]]
        if self.is_exact:
            return np.stack(columns, axis=1)
        # [N, 2, 3], lowest byte first.
        parts = np.stack(columns, axis=1).astype(np.int32)
        whole = parts @ np.array([1, 1 << 8, 1 << 16], np.int32) - _OFFSET
        return (whole * self.location_step).astype(np.float32)

    @property
    def scales(self) -> np.ndarray:
        """[N] float32, as in `LocalFeatures`."""
        return self.table["scale"] * np.float32(self.scale_unit)

    @property
    def attention(self) -> np.ndarray:
        """[N] float32, attention scores."""
        return self.table["attention"] * np.float32(self.attention_unit)

    @property
    def orientations(self) -> np.ndarray:
        """[N] float32, radians."""
        if not self.is_oriented:
            return np.zeros(len(self), np.float32)
        return self.table["orientation"].astype(np.float32)


def table_type(exact: bool, oriented: bool) -> np.dtype:
    """Returns the type of a row: little endian, without gaps."""
    number = "<f4" if exact else "<f2"
    place = ("<f4",) if exact else ("u1", (3,))
    columns = [
        ("y", *place),
        ("x", *place),
        ("scale", number),
        ("attention", number),
    ]
    if oriented:
        columns.append(("orientation", number))
    return np.dtype(columns)


def encode_geometry(features: LocalFeatures, exact: bool) -> Geometry:
    """Encodes all but the descriptors.

    Args:
        features: of one image.
        exact: whether float32 numbers are kept as they are.
    """
    oriented = bool(features.orientations.any())
    table = np.zeros(len(features), table_type(exact, oriented))
    if oriented:
        table["orientation"] = features.orientations
    if exact:
        table["y"], table["x"] = features.locations.T
        table["scale"] = features.scales
        table["attention"] = features.attention
        return Geometry(table)
    step = _location_step(features.locations)
    whole = np.rint(features.locations / np.float64(step)).astype(np.int64)
    parts = (whole + _OFFSET).astype("<u4").view(np.uint8)
    parts = parts.reshape(len(features), 2, 4)
    table["y"], table["x"] = parts[:, 0, :3], parts[:, 1, :3]
    scale_unit = _half_unit(features.scales)
    attention_unit = _half_unit(features.attention)
    table["scale"] = features.scales / scale_unit
    table["attention"] = features.attention / attention_unit
    return Geometry(table, step, scale_unit, attention_unit)


def _location_step(locations: np.ndarray) -> float:
    largest = float(np.abs(locations).max(initial=0))
    step = _FINEST_STEP
    while largest / step > _OFFSET - 1:
        step *= 2
    return step


def _half_unit(values: np.ndarray) -> float:
    """Returns a power of two by which values suit float16's range."""
    # The largest lies between 2^14 and 2^15 then, the smallest that is not 0
    # may be 2^39 times smaller.
    _, exponent = math.frexp(float(np.abs(values).max(initial=0)))
    # Within the range of float32, in which units are stored.
    return math.ldexp(1.0, max(exponent - 15, -126))
