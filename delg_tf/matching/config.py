"""How two images are matched."""

import dataclasses
import math

from delg_tf.common.errors import InputError

BACKENDS = ("numba", "numpy", "opencv", "usac", "skimage")
MODELS = ("affine", "similarity", "homography")

# OpenCV's USAC estimates no similarity.
UNSUPPORTED = (("usac", "similarity"),)


@dataclasses.dataclass(frozen=True)
class MatchingConfig:
    """Settings of matching and of geometric verification.

    The defaults are those of the official DELG re-ranking (distance 1.0,
    20 pixels, 1000 iterations), with a backend that is faster and finds more
    where few matches are true, and without models that no camera could cause.
    `MatchingConfig.official()` has the official behaviour in every respect.

    Attributes:
        descriptor_distance: two features match if the Euclidean distance of
            their descriptors is below this; None: no limit.
        ratio_test: in (0, 1]; a match must also be nearer than this times
            the distance of the second nearest neighbour; None: no such test.
        mutual: whether each of two matching features must be the other's
            nearest neighbour.
        residual_threshold: largest distance in pixels between a query feature
            and the transformed index feature for an inlier (exclusive).
        iterations: RANSAC iterations, at most.
        model: "affine", "similarity" (rotation, one scale, translation), or
            "homography" (any view of a plane).
        backend: "numba" (samples of two matches beside those of three, with
            local optimisation; compiled), "numpy" (the same in NumPy, three
            times slower), "opencv" (plain RANSAC), "usac" (OpenCV's
            USAC_ACCURATE; no similarity), or "skimage" (the reference: slow).
            experiments/verification_backends compares them.
        seed: of RANSAC's samples.
        min_putatives: fewer putative matches are not verified.
        min_inliers: fewer inliers count as none. Some 8 to 11 of a thousand
            random matches agree on a model by chance.
        unique_inliers: whether an index feature counts once, where several
            query features have it as their nearest neighbour.
        max_scale_change: models that stretch or shrink any direction by more
            than this (a homography: at any inlier) are rejected; None: no
            limit. A model that collapses all points of one image has many
            inliers where many features of the other lie close together. The
            pyramid covers a change of 8.
        allow_reflection: whether the model may mirror the image.
        binary_distance: takes the place of `descriptor_distance` where the
            descriptors of one image, or both, are binary. A float distance of
            1 is an angle of 60 degrees, at which a third of the signs differ:
            a distance of 1.155. 1.15 and 1.2 were best on the demonstration's
            validation landmarks.

    Raises:
        InputError: a value is out of range.
    """

    descriptor_distance: float | None = 1.0
    ratio_test: float | None = None
    mutual: bool = False
    residual_threshold: float = 20.0
    iterations: int = 1000
    model: str = "affine"
    backend: str = "numba"
    seed: int = 0
    min_putatives: int = 4
    min_inliers: int = 0
    unique_inliers: bool = False
    max_scale_change: float | None = 8.0
    allow_reflection: bool = False
    binary_distance: float | None = 1.15

    def __post_init__(self) -> None:
        for name, low, high in (
            ("descriptor_distance", 0.0, math.inf),
            ("binary_distance", 0.0, math.inf),
            ("ratio_test", 0.0, 1.0),
            ("residual_threshold", 0.0, math.inf),
            ("max_scale_change", 1.0, math.inf),
        ):
            self._check_real(name, low, high)
        for name, low, high in (
            ("iterations", 1, 2**31 - 1),
            ("seed", 0, 2**32 - 1),
            ("min_putatives", 3, 2**31 - 1),
            ("min_inliers", 0, 2**31 - 1),
        ):
            self._check_integer(name, low, high)
        for name, choices in (("model", MODELS), ("backend", BACKENDS)):
            if getattr(self, name) not in choices:
                raise InputError(
                    f"{name} must be one of {', '.join(choices)}, but is "
                    f"{getattr(self, name)!r}."
                )
        if (self.backend, self.model) in UNSUPPORTED:
            raise InputError(
                f"model must be another than {self.model} with the backend "
                f"{self.backend}, which has no such model: take another "
                "backend, for example numba."
            )

    @classmethod
    def official(cls) -> "MatchingConfig":
        """Returns the settings under which official DELG re-ranks."""
        return cls(
            backend="skimage", max_scale_change=None, allow_reflection=True
        )

    def for_binary(self) -> "MatchingConfig":
        """Returns the settings for numbers of which some are binary."""
        return dataclasses.replace(
            self, descriptor_distance=self.binary_distance
        )

    def _check_real(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        optional = name != "residual_threshold"
        if value is None and optional:
            return
        number = isinstance(value, (int, float)) and math.isfinite(value)
        if not number or not low < value <= high:
            limit = "" if high == math.inf else f" and at most {high}"
            raise InputError(
                f"{name} must be a number above {low}{limit}"
                f"{', or None' if optional else ''}, but is {value!r}."
            )

    def _check_integer(self, name: str, low: int, high: int) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or not low <= value <= high:
            raise InputError(
                f"{name} must be an integer from {low} to {high}, but is "
                f"{value!r}."
            )
