"""SIFT (Lowe, IJCV 2004) by OpenCV, and RootSIFT."""

import cv2
import numpy as np

from delg_tf.extraction.detectors.base import (
    Detector,
    make_features,
    strongest,
    to_grey,
)
from delg_tf.features.local_features import LocalFeatures

_DEPTH = 128
# Of the blur that OpenCV takes its first level to have; a keypoint's size is
# twice its own.
_SIGMA = 1.6


class Sift(Detector):
    """Finds SIFT features.

    Args:
        max_features: the strongest are kept, at most so many.
        threshold: least contrast of a feature, relative to the range of
            brightness.
        root: RootSIFT (Arandjelovic and Zisserman, CVPR 2012): the square
            roots of descriptors that add up to 1, whose Euclidean distance is
            the Hellinger distance of SIFT's histograms.
        upright: descriptors do not turn with the image's gradients; of the
            orientations at a place one feature stays.
    """

    # The image is doubled; some 11 blurred images and differences a level.
    bytes_per_pixel = 240

    def __init__(
        self, max_features: int, threshold: float, root: bool, upright: bool
    ):
        self._number = max_features
        self._root = root
        self._upright = upright
        self._sift = cv2.SIFT_create(
            # Before duplicates are dropped, all of them are wanted.
            nfeatures=0 if upright else max_features,
            contrastThreshold=threshold,
            sigma=_SIGMA,
            # Without it every location is a quarter pixel too far.
            enable_precise_upscale=True,
        )

    def detect(self, pixels: np.ndarray) -> LocalFeatures:
        """See `Detector.detect`."""
        grey = to_grey(pixels)
        if self._upright:
            keypoints = _upright(self._sift.detect(grey), self._number)
            keypoints, descriptors = self._sift.compute(grey, keypoints)
        else:
            keypoints, descriptors = self._sift.detectAndCompute(grey, None)
        if not keypoints:
            return LocalFeatures.empty(_DEPTH)
        rows = strongest(keypoints, self._number)
        keypoints = [keypoints[row] for row in rows]
        return make_features(
            keypoints,
            np.array([point.pt[::-1] for point in keypoints]),
            self._normalise(descriptors[rows].astype(np.float32)),
            2 * _SIGMA,
        )

    def _normalise(self, descriptors: np.ndarray) -> np.ndarray:
        if self._root:
            sums = descriptors.sum(axis=1, keepdims=True)
            return np.sqrt(descriptors / np.maximum(sums, 1e-12))
        norms = np.linalg.norm(descriptors, axis=1, keepdims=True)
        return descriptors / np.maximum(norms, 1e-12)


def _upright(keypoints: list[cv2.KeyPoint], number: int) -> list[cv2.KeyPoint]:
    """Keeps one keypoint a place and size, with the angle 0."""
    places = {(point.pt, point.size): point for point in keypoints}
    points = list(places.values())
    kept = [points[row] for row in strongest(points, number)]
    for point in kept:
        point.angle = 0.0
    return kept
