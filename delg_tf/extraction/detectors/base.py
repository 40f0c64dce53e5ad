"""The one interface to all detectors."""

import abc
from collections.abc import Sequence

import cv2
import numpy as np

from delg_tf.features.local_features import LocalFeatures


class Detector(abc.ABC):
    """Finds and describes local features; the same ones at each call.

    Attributes:
        bytes_per_pixel: memory for a pixel of the image, about.
    """

    bytes_per_pixel: int

    @abc.abstractmethod
    def detect(self, pixels: np.ndarray) -> LocalFeatures:
        """Returns the strongest features of an image.

        Args:
            pixels: uint8 `[H, W, 3]`, RGB.

        Returns:
            Features by falling response, which is their `attention`.
            Locations are (y, x) in pixels of this image, (0, 0) the centre
            of the first one. Orientations are radians, from the x axis towards
            the y axis, which points down. Descriptors have unit length.
        """


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """Returns uint8 `[H, W]`, the luma of an RGB image."""
    return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)


def strongest(keypoints: Sequence[cv2.KeyPoint], number: int) -> np.ndarray:
    """Returns rows of the keypoints of the highest response, best first.

    OpenCV keeps more than it is asked for where responses are equal, in an
    order that it does not document. Here place, size and angle decide.
    """
    keys = [
        (-point.response, point.pt[1], point.pt[0], point.size, point.angle)
        for point in keypoints
    ]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), int)[
        :number
    ]


def make_features(
    keypoints: Sequence[cv2.KeyPoint],
    locations: np.ndarray,
    descriptors: np.ndarray,
    unit_size: float,
) -> LocalFeatures:
    """Puts OpenCV's keypoints into our arrays.

    Args:
        keypoints: N of them.
        locations: `[N, 2]`, (y, x) in pixels.
        descriptors: `[N, D]`.
        unit_size: `KeyPoint.size` of a feature of scale 1.
    """
    angles = np.array([point.angle for point in keypoints], np.float32)
    return LocalFeatures(
        locations=locations,
        descriptors=descriptors,
        scales=[point.size / unit_size for point in keypoints],
        attention=[point.response for point in keypoints],
        orientations=np.deg2rad(angles),
    )
