"""Local features of a detector, image by image."""

from collections.abc import Sequence

import numpy as np

from delg_tf.extraction.detectors.base import Detector
from delg_tf.extraction.detectors.config import DetectorConfig
from delg_tf.extraction.detectors.orb import Orb
from delg_tf.extraction.detectors.sift import Sift
from delg_tf.extraction.image_extractor import (
    ImageExtractor,
    ImageFeatures,
    PreparedImage,
    too_small,
)
from delg_tf.extraction.images import LoadedImage, resize_image
from delg_tf.features.local_features import LocalFeatures
from delg_tf.protos import delf_config_pb2


class DetectorExtractor(ImageExtractor):
    """Extracts as `Extractor` does, by a detector in place of a network.

    Args:
        config: which detector, and its settings.
    """

    def __init__(self, config: DetectorConfig):
        self._detector = _make_detector(config)
        self._limits = delf_config_pb2.DelfConfig(
            max_image_size=config.max_image_size, min_image_size=-1
        )
        self.max_image_size = config.max_image_size
        self.bytes_per_pixel = self._detector.bytes_per_pixel

    def largest_level(self, size: tuple[int, int]) -> int:
        """Pixels of the image."""
        return size[0] * size[1]

    def prepare(self, image: LoadedImage) -> PreparedImage:
        """Resizes an image by the limit."""
        pixels, factors = resize_image(
            image.pixels, self._limits, image.resize_factor
        )
        return PreparedImage(pixels, factors, image.offset)

    def extract_batch(
        self, images: Sequence[PreparedImage]
    ) -> list[ImageFeatures]:
        """Extracts one after the other."""
        return [ImageFeatures(None, self._local(image)) for image in images]

    def _local(self, image: PreparedImage) -> LocalFeatures:
        if too_small(image.pixels.shape[:2]):
            return LocalFeatures.empty()
        found = self._detector.detect(image.pixels)
        factors = np.array(image.factors)
        return LocalFeatures(
            locations=(found.locations + 0.5) / factors
            - 0.5
            + np.array(image.offset),
            descriptors=found.descriptors,
            scales=found.scales / np.sqrt(factors.prod()),
            attention=found.attention,
            orientations=found.orientations,
        )


def _make_detector(config: DetectorConfig) -> Detector:
    threshold = config.threshold
    if config.detector == "orb":
        fast = 20 if threshold is None else max(round(threshold), 1)
        return Orb(config.max_features, fast)
    contrast = 0.04 if threshold is None else threshold
    return Sift(config.max_features, contrast, config.root_sift, config.upright)
