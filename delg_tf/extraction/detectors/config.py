"""Which features a detector is to find."""

import dataclasses
import json

from delg_tf.common.errors import InputError

DETECTORS = ("sift", "orb")


@dataclasses.dataclass(frozen=True)
class DetectorConfig:
    """Settings of a detector; the numbers are those of the paper's table 5.

    Attributes:
        detector: one of `DETECTORS`.
        max_features: the strongest of an image that are kept.
        max_image_size: longest side in pixels to which larger images are
            resized; of cropped queries as a share of the whole image's; -1:
            no limit.
        threshold: keypoints of less contrast are not looked at; of SIFT
            relative to the range of brightness, of ORB in grey levels (FAST's
            threshold). None: OpenCV's own, 0.04 and 20. Small images need
            less to have `max_features`.
        root_sift: of SIFT: whether descriptors are RootSIFT's.
        upright: of SIFT: whether features have no orientation.

    Raises:
        InputError: a value is out of range, or not for this detector.
    """

    detector: str
    max_features: int = 1000
    max_image_size: int = 1024
    threshold: float | None = None
    root_sift: bool = True
    upright: bool = False

    def __post_init__(self) -> None:
        if self.detector not in DETECTORS:
            raise InputError(
                f"detector must be one of {', '.join(DETECTORS)}, but is "
                f"{self.detector!r}."
            )
        if self.max_features < 1:
            raise InputError(
                f"max_features must be at least 1, but is {self.max_features}."
            )
        if self.max_image_size < 1 and self.max_image_size != -1:
            raise InputError(
                "max_image_size must be at least 1, or -1 for no limit, but "
                f"is {self.max_image_size}."
            )
        if self.threshold is not None and not 0 < self.threshold <= 255:
            raise InputError(
                "threshold must be above 0 and at most 255, but is "
                f"{self.threshold}."
            )
        if self.upright and self.detector != "sift":
            raise InputError(
                "upright is for sift; OpenCV's ORB always has orientations."
            )

    @property
    def identity(self) -> str:
        """The settings that features depend on, as a short text."""
        settings = dataclasses.asdict(self)
        if self.detector != "sift":
            del settings["root_sift"], settings["upright"]
        return json.dumps(settings)
