"""What files of other programs do not say themselves."""

import dataclasses

from delg_tf.common.errors import InputError

ORIGINS = ("centre", "corner")
LAYOUTS = ("auto", "rows", "columns")


@dataclasses.dataclass(frozen=True)
class ForeignOptions:
    """How the arrays of other programs are to be understood.

    Attributes:
        origin: where (0, 0) is: the "centre" of the first pixel (hloc,
            SuperPoint, D2-Net, OpenCV) or its "corner" (COLMAP).
        layout: of descriptors: "rows" [N, D], "columns" [D, N], or "auto": as
            the shapes say.
        packed_bits: whether uint8 descriptors are bits, eight a number; else
            they are numbers.
        normalise: whether descriptors get unit length.

    Raises:
        InputError: an unknown origin or layout.
    """

    origin: str = "centre"
    layout: str = "auto"
    packed_bits: bool = False
    normalise: bool = False

    def __post_init__(self) -> None:
        for name, choices in (("origin", ORIGINS), ("layout", LAYOUTS)):
            if getattr(self, name) not in choices:
                raise InputError(
                    f"{name} must be one of {', '.join(choices)}, but is "
                    f"{getattr(self, name)!r}."
                )
