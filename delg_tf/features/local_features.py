"""Local features of one image, as arrays."""

import dataclasses
import functools

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class LocalFeatures:
    """N local features; row n of every array belongs to feature n.

    Anything that NumPy turns into numbers is accepted and kept as float32.

    Attributes:
        locations: [N, 2] float32, (y, x) in pixels of the original image;
            the centre of the first pixel is (0, 0).
        descriptors: [N, D] float32.
        scales: [N] float32, size of a pixel of the feature's pyramid level
            in pixels of the original image (0.5 is the double resolution).
        attention: [N] float32, attention scores.
        orientations: [N] float32, radians; 0 for DELG, which has none.

    Raises:
        ValueError: an array has another shape, or values that are not finite.
    """

    locations: np.ndarray
    descriptors: np.ndarray
    scales: np.ndarray
    attention: np.ndarray
    orientations: np.ndarray

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = _as_float32(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        count = len(self.attention) if self.attention.ndim else -1
        expected = {
            "locations": (count, 2),
            "descriptors": (count, *self.descriptors.shape[1:2]),
            "scales": (count,),
            "attention": (count,),
            "orientations": (count,),
        }
        for name, shape in expected.items():
            received = getattr(self, name).shape
            rank = 2 if name in ("locations", "descriptors") else 1
            if received != shape or len(received) != rank:
                wanted = {"locations": "[N, 2]", "descriptors": "[N, D]"}
                raise ValueError(
                    f"`{name}` must have the shape {wanted.get(name, '[N]')} "
                    "with the same N as the scores of `attention`. Received: "
                    f"{received} beside {self.attention.shape}."
                )
        if count > 0 and self.descriptors.shape[1] == 0:
            raise ValueError(
                "`descriptors` must have a depth of 1 or more. Received: "
                f"{self.descriptors.shape}."
            )

    def __len__(self) -> int:
        return len(self.attention)

    @property
    def depth(self) -> int:
        """Dimensions of a descriptor, D."""
        return self.descriptors.shape[1]

    @functools.cached_property
    def is_binary(self) -> bool:
        """Whether descriptors are signs: all numbers of one magnitude."""
        if self.descriptors.size == 0:
            return False
        magnitude = abs(self.descriptors[0, 0])
        # Most others are told by their first descriptor.
        return all(
            bool((np.abs(part) == magnitude).all())
            for part in (self.descriptors[:1], self.descriptors)
        )

    @classmethod
    def empty(cls, depth: int = 0) -> "LocalFeatures":
        """Returns no features, with descriptors of shape [0, depth]."""
        return cls(
            locations=np.zeros((0, 2), np.float32),
            descriptors=np.zeros((0, depth), np.float32),
            scales=np.zeros(0, np.float32),
            attention=np.zeros(0, np.float32),
            orientations=np.zeros(0, np.float32),
        )

    def top(self, k: int) -> "LocalFeatures":
        """Returns the (at most) k features of the highest attention.

        They come by descending score; equal scores keep their order.

        Raises:
            ValueError: k is negative.
        """
        if k < 0:
            raise ValueError(f"`k` must be 0 or more. Received: {k}.")
        best = np.argsort(-self.attention, kind="stable")[:k]
        return LocalFeatures(
            **{
                field.name: getattr(self, field.name)[best]
                for field in dataclasses.fields(self)
            }
        )


def _as_float32(name: str, value: np.ndarray) -> np.ndarray:
    """Returns `value` as a float32 array of finite numbers."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise ValueError(
            f"`{name}` must hold real numbers. Received dtype: {array.dtype}."
        )
    array = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(array).all():
        raise ValueError(
            f"`{name}` must be finite. Received: "
            f"{np.count_nonzero(~np.isfinite(array))} values that are NaN or "
            "infinite."
        )
    return array.reshape(np.shape(value))
