"""What extraction needs of anything that finds features in images."""

import abc
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from delg_tf.extraction.images import LoadedImage
from delg_tf.features.local_features import LocalFeatures


@dataclasses.dataclass(frozen=True, eq=False)
class ImageFeatures:
    """Features of one image.

    Attributes:
        global_descriptor: float32 `[D]`, unit length; `[0]` for an image that
            is too small; None if not asked for.
        local: unit descriptors by falling attention; None if not asked for.
    """

    global_descriptor: np.ndarray | None
    local: LocalFeatures | None

    @property
    def is_empty(self) -> bool:
        """Whether the image was too small to have any."""
        if self.global_descriptor is not None:
            return self.global_descriptor.size == 0
        return self.local.depth == 0


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedImage:
    """An image as the extractor gets it.

    Attributes:
        pixels: uint8 `[height, width, 3]`, resized.
        factors: (new height / height, new width / width) of that.
        offset: (y, x) of its first pixel in the whole image, before that.
    """

    pixels: np.ndarray
    factors: tuple[float, float]
    offset: tuple[int, int]


class ImageExtractor(abc.ABC):
    """Finds features in images.

    Attributes:
        bytes_per_pixel: memory for a pixel of the largest level, about.
        max_image_size: longest side of a prepared image, pixels; not
            positive: images keep their size.
    """

    bytes_per_pixel: int
    max_image_size: int

    @abc.abstractmethod
    def largest_level(self, size: tuple[int, int]) -> int:
        """Pixels of the largest level that a prepared image is worked on at.

        Args:
            size: height and width of a prepared image.
        """

    @abc.abstractmethod
    def prepare(self, image: LoadedImage) -> PreparedImage:
        """Resizes an image; other threads may do it meanwhile.

        Raises:
            UnreadableImageError: the image is too large.
        """

    @abc.abstractmethod
    def extract_batch(
        self, images: Sequence[PreparedImage]
    ) -> list[ImageFeatures]:
        """Extracts the features of images of one size.

        Args:
            images: as `prepare` gives them.

        Returns:
            Those of each; they do not depend on the others.

        Raises:
            UnreadableImageError: the memory is not enough.
        """

    def extract(self, image: LoadedImage) -> ImageFeatures:
        """Extracts the features of one image.

        Args:
            image: of any size; resized by the extractor's limits. One with a
                side of less than 10 pixels then has no features.

        Returns:
            The features. Locations are in pixels of the whole original image.

        Raises:
            UnreadableImageError: the image is too large.
        """
        return self.extract_batch([self.prepare(image)])[0]


MakeImageExtractor = Callable[[], ImageExtractor]
# Smaller images give nothing, as in the official code.
_MIN_SIDE = 10


def too_small(size: tuple[int, int]) -> bool:
    """Whether an image of this height and width has no features."""
    return min(size) < _MIN_SIDE
