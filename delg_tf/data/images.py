"""Any image file becomes an 8-bit RGB JPEG."""

import dataclasses
import io
import os
import pathlib

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

JPEG_QUALITY = 95

# Pillow fills its table of formats at first use, which is not safe in threads.
Image.init()
# These need a program or a plug-in that Pillow does not ship (and Ghostscript
# should not see files from the internet).
_NOT_DECODABLE = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
FORMATS = tuple(sorted(set(Image.OPEN) - _NOT_DECODABLE))
# File name endings, lower case; where an image exists in several formats the
# first ending wins.
_FIRST = (".jpg", ".jpeg", ".jfif", ".jpe", ".mpo", ".png", ".webp")
_OTHERS = {
    ending
    for ending, name in Image.registered_extensions().items()
    if name in FORMATS
}
EXTENSIONS = _FIRST + tuple(sorted(_OTHERS.difference(_FIRST)))


class CorruptImageError(ValueError):
    """A file is not an image or cannot be decoded to its end."""


@dataclasses.dataclass(frozen=True)
class JpegImage:
    """An image ready to be stored.

    Attributes:
        data: an RGB JPEG with 8 bits a channel and no rotation.
        height: pixels.
        width: pixels.
        converted: whether `data` differs from the file's own bytes.
    """

    data: bytes
    height: int
    width: int
    converted: bool


def read_as_jpeg(path: str | os.PathLike) -> JpegImage:
    """Reads an image file of any format; see `as_jpeg`.

    Raises:
        CorruptImageError: the file cannot be read or decoded.
    """
    try:
        data = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise CorruptImageError(f"cannot be read: {error.strerror}") from error
    return as_jpeg(data)


def as_jpeg(data: bytes) -> JpegImage:
    """Returns the image as an RGB JPEG, its bytes unchanged where they are one.

    The image is decoded fully in any case, so that a truncated file is found
    here and not in the middle of training. An RGB JPEG without EXIF rotation
    keeps its bytes, as in the official builder. Everything else (other
    formats, greyscale, CMYK, palette, 16 bits, transparency, rotation) is
    converted: first frame, upright, on white, quality 95.

    Args:
        data: content of an image file in a format that Pillow decodes.

    Raises:
        CorruptImageError: the image cannot be decoded.
    """
    if not data:
        raise CorruptImageError("empty file")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            keep = image.format in ("JPEG", "MPO") and image.mode == "RGB"
            image.load()
            if keep and not _is_rotated(image):
                return JpegImage(data, image.height, image.width, False)
            upright = _upright(image)
            return _encode(_to_rgb(upright))
    except UnidentifiedImageError as error:
        raise CorruptImageError("not in a format that Pillow reads") from error
    except Exception as error:
        # On damaged files Pillow's many decoders raise nearly anything:
        # OSError, SyntaxError, struct.error, TypeError, IndexError, ...
        message = " ".join(str(error).split()) or "cannot be decoded"
        raise CorruptImageError(f"{type(error).__name__}: {message}") from error


def _is_rotated(image: Image.Image) -> bool:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Damaged EXIF says nothing about a sound picture.
        return False
    return orientation in range(2, 9)


def _upright(image: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(image) if _is_rotated(image) else image


def _encode(image: Image.Image) -> JpegImage:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return JpegImage(buffer.getvalue(), image.height, image.width, True)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if image.mode == "LAB":
        return ImageCms.profileToProfile(
            image,
            ImageCms.createProfile("LAB"),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        return white.convert("RGB")
    # A fresh image also drops EXIF and colour profile of the source.
    return Image.merge("RGB", image.convert("RGB").split())


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """Scales deep greyscale values to 8 bits.

    The range is the smallest usual one that holds them; where there is none
    (negative or 32-bit values), the darkest becomes 0 and the brightest 255.

    Args:
        values: [height, width], integers or floats.

    Returns:
        uint8 [height, width].
    """
    is_float = values.dtype.kind == "f"
    values = np.nan_to_num(
        values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0
    )
    low, high = values.min(), values.max()
    for white in (1.0, 255.0, 65535.0) if is_float else (65535.0,):
        if low >= 0 and high <= white:
            low, high = 0.0, white
            break
    scaled = (values - low) * (255.0 / max(high - low, 1e-12))
    return np.rint(scaled).astype(np.uint8)
