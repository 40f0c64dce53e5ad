"""Any kind of pixels becomes 8-bit RGB."""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageChops, ImageCms

_BACKGROUND = "white"
# Rounded value / 257 of each 16-bit value; 257 is odd, so there are no halves.
_OF_16_BITS = ((np.arange(65536) * 2 + 257) // (2 * 257)).astype(np.uint8)
# Pixels of which floating-point copies are made at a time.
_AT_A_TIME = 1 << 20


def to_rgb(image: Image.Image) -> Image.Image:
    """Returns an image as RGB with 8 bits a channel.

    - Transparency is composited on white.
    - 16-bit grey levels are scaled, value / 257; see `to_8_bits`. (Of 16-bit
      colours Pillow gives the higher byte, which is 1 off at most.)
    - CMYK follows the plain formula (255 - C)(255 - K) / 255. JPEGs with
      Adobe's marker are stored inverted, others are not.
    - Colour profiles are ignored, as by the official code, and as TensorFlow
      does when it reads the records of training.

    Args:
        image: decoded; of any mode.

    Returns:
        An image of mode RGB; the same one if it is so already.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _deep_grey_to_rgb(image)
    if image.mode == "LAB":
        return ImageCms.profileToProfile(
            image,
            ImageCms.createProfile("LAB"),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    if image.has_transparency_data:
        background = Image.new("RGBA", image.size, _BACKGROUND)
        background.alpha_composite(image.convert("RGBA"))
        return background.convert("RGB")
    if image.mode == "CMYK" and _is_plain_cmyk(image):
        # Pillow takes all for inverted.
        image = ImageChops.invert(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def to_8_bits(values: np.ndarray) -> np.ndarray:
    """Scales deep grey levels to 8 bits.

    The range is the smallest usual one that holds them: 0 to 65535 for
    integers; 0 to 1, 255 or 65535 for floats. Where there is none (negative or
    32-bit values), the darkest becomes 0 and the brightest 255.

    Args:
        values: [height, width], integers or floats; those that are not finite
            count as 0.

    Returns:
        uint8 [height, width].
    """
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return _OF_16_BITS[values]
    blocks = list(_blocks(values))
    low = min(_finite(block).min() for block in blocks)
    high = max(_finite(block).max() for block in blocks)
    is_float = values.dtype.kind == "f"
    for white in (1.0, 255.0, 65535.0) if is_float else (65535.0,):
        if low >= 0 and high <= white:
            low, high = 0.0, white
            break
    factor = 255.0 / max(high - low, 1e-12)
    scaled = [
        np.rint((_finite(block) - low) * factor).astype(np.uint8)
        for block in blocks
    ]
    return np.concatenate(scaled)


def _deep_grey_to_rgb(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    grey = to_8_bits(values)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey).convert("RGB")


def _is_plain_cmyk(image: Image.Image) -> bool:
    return image.format in ("JPEG", "MPO") and "adobe" not in image.info


def _blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(1, _AT_A_TIME // values.shape[1])
    for start in range(0, len(values), rows):
        yield values[start : start + rows]


def _finite(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(
        values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0
    )
