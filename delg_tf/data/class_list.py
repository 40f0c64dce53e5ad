"""Which list of classes a training had: results depend on it.

The clean part of Google Landmarks v2 has landmarks of Revisited Oxford and
Paris in it. Song et al., "On Train-Test Class Overlap and Detection for Image
Retrieval" (CVPR 2024) name them; without them the list is RGLDv2-clean. Numbers
of trainings on the two are not comparable.
"""

import dataclasses
import hashlib

import numpy as np

GLDV2, GLDV2_CLEAN, RGLDV2_CLEAN = "GLDv2", "GLDv2-clean", "RGLDv2-clean"
OTHER = "other"

# Landmarks and images of the published lists: README of
# cvdfoundation/google-landmark; for the last one that of
# dealicious-inc/RGLDv2-clean, by which it has 17 and 1,565 less.
_KNOWN = {
    (203_094, 4_132_914): GLDV2,
    (81_313, 1_580_470): GLDV2_CLEAN,
    (81_296, 1_578_905): RGLDV2_CLEAN,
}


@dataclasses.dataclass(frozen=True)
class ClassList:
    """The landmarks that a data set lists, whether their images are there.

    Attributes:
        name: `GLDV2`, `GLDV2_CLEAN` or `RGLDV2_CLEAN` if the list has as many
            landmarks and images as that one, or else `OTHER`.
        num_classes: landmarks that are listed, after dropping.
        num_images: their images that are listed.
        dropped_landmarks: listed landmarks that were left out.
        dropped_images: their images.
        unknown_landmarks: that were to be left out, but are not listed.
        sha256: of the remaining names, sorted as text, a line each.
    """

    name: str
    num_classes: int
    num_images: int
    dropped_landmarks: int
    dropped_images: int
    unknown_landmarks: int
    sha256: str

    @classmethod
    def of(
        cls,
        names: list[str],
        num_images: int,
        dropped: dict[int, int] | None = None,
        landmarks: bool = True,
    ) -> "ClassList":
        """Describes a list.

        Args:
            names: of the classes that remain.
            num_images: that are listed of them.
            dropped: images of each landmark that was to be left out; 0 for
                one that is not listed.
            landmarks: whether classes are landmarks of Google Landmarks v2.
        """
        found = [count for count in (dropped or {}).values() if count]
        text = "".join(f"{name}\n" for name in sorted(names))
        known = _KNOWN.get((len(names), num_images)) if landmarks else None
        encoded = text.encode("utf-8", "surrogateescape")
        return cls(
            name=known or OTHER,
            num_classes=len(names),
            num_images=num_images,
            dropped_landmarks=len(found),
            dropped_images=sum(found),
            unknown_landmarks=len(dropped or {}) - len(found),
            sha256=hashlib.sha256(encoded).hexdigest(),
        )


def count_dropped(labels: np.ndarray, drop: np.ndarray) -> dict[int, int]:
    """Returns the images of each landmark that is to be left out.

    Args:
        labels: int64 [N], landmark of each listed image.
        drop: int64 [D], distinct landmarks.
    """
    found, counts = np.unique(labels, return_counts=True)
    number = dict(zip(found.tolist(), counts.tolist()))
    return {landmark: number.get(landmark, 0) for landmark in drop.tolist()}
