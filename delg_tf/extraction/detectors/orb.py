"""ORB (Rublee et al., ICCV 2011) by OpenCV."""

import cv2
import numpy as np

from delg_tf.extraction.detectors.base import (
    Detector,
    make_features,
    strongest,
    to_grey,
)
from delg_tf.features.local_features import LocalFeatures

_BITS = 256
_LEVEL_RATIO = 1.2
_PATCH = 31


class Orb(Detector):
    """Finds ORB features; descriptors are +-1 / 16 for the bits 1 and 0.

    So they are to our binary formats what DELG's signs are: packed, they are
    OpenCV's bytes, and distances order pairs as Hamming distances do.

    Args:
        max_features: the strongest are kept, at most so many.
        threshold: least contrast of a corner, in grey levels.
    """

    # Some levels that add up to 3.3 images, each a few times.
    bytes_per_pixel = 20

    def __init__(self, max_features: int, threshold: int):
        self._number = max_features
        self._orb = cv2.ORB_create(
            nfeatures=max_features,
            scaleFactor=_LEVEL_RATIO,
            patchSize=_PATCH,
            fastThreshold=threshold,
        )

    def detect(self, pixels: np.ndarray) -> LocalFeatures:
        """See `Detector.detect`."""
        grey = to_grey(pixels)
        keypoints, codes = self._orb.detectAndCompute(grey, None)
        if not keypoints:
            return LocalFeatures.empty(_BITS)
        rows = strongest(keypoints, self._number)
        keypoints = [keypoints[row] for row in rows]
        signs = np.unpackbits(codes[rows], axis=1).astype(np.float32) * 2 - 1
        return make_features(
            keypoints,
            _locations(keypoints, grey.shape),
            signs / np.float32(_BITS**0.5),
            _PATCH,
        )


def _locations(
    keypoints: list[cv2.KeyPoint], size: tuple[int, int]
) -> np.ndarray:
    """Returns `[N, 2]`, (y, x) of keypoints in pixels of the image.

    OpenCV multiplies a place in a level by the level's nominal scale. But its
    levels have whole numbers of pixels, and map edges of pixels, not centres:
    at the eighth level that makes up to three pixels.
    """
    octaves = np.array([point.octave for point in keypoints])
    nominal = (_LEVEL_RATIO**octaves)[:, np.newaxis]
    places = np.array([point.pt[::-1] for point in keypoints]) / nominal
    factors = size / np.rint(size / nominal)
    return (places + 0.5) * factors - 0.5
