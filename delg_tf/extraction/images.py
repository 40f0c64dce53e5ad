"""Image files as arrays, and the resize before the pyramid."""

import dataclasses

import numpy as np
from PIL import Image

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.data.decoder import UnreadableImageError, read_image
from delg_tf.data.image_limits import MAX_PIXELS
from delg_tf.protos import delf_config_pb2

__all__ = [
    "LoadedImage",
    "UnreadableImageError",
    "load_image",
    "resize_image",
    "resized_size",
]


@dataclasses.dataclass(frozen=True)
class LoadedImage:
    """An image, or the part of one inside a box.

    Attributes:
        pixels: uint8 `[height, width, 3]`, RGB.
        offset: (y, x) of its first pixel in the whole image.
        resize_factor: longer side of the part over that of the whole image.
    """

    pixels: np.ndarray
    offset: tuple[int, int] = (0, 0)
    resize_factor: float = 1.0


def load_image(
    path: PathLike,
    box: tuple[float, float, float, float] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> LoadedImage:
    """Reads an image as upright RGB; `data.decoder` says how.

    Args:
        path: the file.
        box: part to cut out, (x1, y1, x2, y2) in pixels of the upright image,
            rounded to whole ones; the second corner is not part of it (as in
            the official code). None: the whole image.
        max_pixels: a larger image is not decoded.

    Raises:
        UnreadableImageError: the file cannot be read, or is too large.
        InputError: the box leaves nothing of the image.
    """
    image = read_image(path, max_pixels).image
    if box is None:
        return LoadedImage(np.asarray(image))
    x1, y1, x2, y2 = (round(value) for value in box)
    x1, y1 = max(x1, 0), max(y1, 0)
    x2, y2 = min(x2, image.width), min(y2, image.height)
    if x1 >= x2 or y1 >= y2:
        raise InputError(
            f"The box {box} leaves nothing of {path}, which is "
            f"{image.width} x {image.height} pixels."
        )
    part = image.crop((x1, y1, x2, y2))
    return LoadedImage(
        np.asarray(part), (y1, x1), max(part.size) / max(image.size)
    )


def resized_size(
    size: tuple[int, int],
    config: delf_config_pb2.DelfConfig,
    resize_factor: float = 1.0,
) -> tuple[int, int]:
    """Returns (height, width) that `resize_image` gives an image of `size`."""
    height, width = size
    longer = max(height, width)
    largest = resize_factor * config.max_image_size
    smallest = resize_factor * config.min_image_size
    scale = 1.0
    if config.max_image_size >= 0 and longer > largest:
        scale = largest / longer
    elif config.min_image_size >= 0 and longer < smallest:
        scale = smallest / longer
    if config.use_square_images:
        height = width = longer
    return max(round(height * scale), 1), max(round(width * scale), 1)


def resize_image(
    pixels: np.ndarray,
    config: delf_config_pb2.DelfConfig,
    resize_factor: float = 1.0,
) -> tuple[np.ndarray, tuple[float, float]]:
    """Resizes as the configuration's size limits ask for.

    Args:
        pixels: uint8 `[height, width, 3]`.
        config: `max_image_size`, `min_image_size`, `use_square_images`.
        resize_factor: multiplies the limits; for a part of an image, its
            size relative to the whole one.

    Returns:
        The resized image (the same one if nothing is to be done), and the
        factors (new height / height, new width / width).

    Raises:
        ValueError: the array has another shape, or the factor is negative.

    Reference: `ResizeImage` of the official file `utils.py`.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(
            "`pixels` must have the shape [height, width, 3]. Received: "
            f"{pixels.shape}"
        )
    if resize_factor < 0:
        raise ValueError(
            f"`resize_factor` must not be negative. Received: {resize_factor}"
        )
    height, width = pixels.shape[:2]
    new_height, new_width = resized_size((height, width), config, resize_factor)
    if (new_height, new_width) == (height, width):
        return pixels, (1.0, 1.0)
    resized = Image.fromarray(pixels).resize(
        (new_width, new_height), Image.Resampling.BILINEAR
    )
    return np.asarray(resized), (new_height / height, new_width / width)
