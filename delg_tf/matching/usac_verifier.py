"""Geometric verification by OpenCV's USAC."""

import cv2

from delg_tf.matching.opencv_verifier import OpenCvVerifier


class UsacVerifier(OpenCvVerifier):
    """The preset USAC_ACCURATE: MSAC with graph-cut local optimisation.

    OpenCV has no similarity of this kind, and `MatchingConfig` refuses it.
    """

    _method = cv2.USAC_ACCURATE
