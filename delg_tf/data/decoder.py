"""Image files as upright 8-bit RGB: one decoder for all that read images.

Records, extraction, query boxes and pictures of reports go through here, so
that they see the same pixels. What is decided:

- The formats are those of photographs. The many others that Pillow knows run
  rarely used code, which files from the internet should not meet.
- The EXIF orientation is applied, here and nowhere else. Boxes of queries and
  locations of features refer to the upright image.
- Of animations and files of several pages the first picture is taken.
- Damaged and truncated files are refused, not shown in part.
- Files that would take much memory or time are refused by their header: too
  many pixels, or bytes, or scans of a JPEG.
- Colours: see `colours.to_rgb`.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import stat
import threading
from collections.abc import Iterator
from typing import BinaryIO

from PIL import ExifTags, Image, UnidentifiedImageError

from delg_tf.common.files import PathLike
from delg_tf.data import colours, jpeg_markers
from delg_tf.data.image_limits import MAX_PIXELS, max_bytes

# Pillow fills its table of formats at first use, which is not safe in threads.
Image.init()
_WANTED = (
    "JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "BMP", "DIB", "PPM",
    "JPEG2000", "AVIF",
)  # fmt: skip
# Not every build of Pillow has all of them.
FORMATS = tuple(name for name in _WANTED if name in Image.OPEN)
# File name endings, lower case; where an image exists in several formats the
# first ending wins.
_FIRST = (".jpg", ".jpeg", ".jfif", ".jpe", ".mpo", ".png", ".webp")
_OTHERS = {
    ending
    for ending, name in Image.registered_extensions().items()
    if name in FORMATS
}
EXTENSIONS = _FIRST + tuple(sorted(_OTHERS.difference(_FIRST)))

# Each scan of a JPEG goes over all pixels, and may take ten bytes of the file.
# Encoders make about ten.
_MAX_SCANS = 100
_TIFF_TILE = (322, 323)  # Tags of a tile's width and length.
# Images of more pixels are decoded one at a time, whatever the threads.
_LARGE = 1 << 25
_turn_of_large_images = threading.Lock()

_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImageError(Exception):
    """A file is missing, no image, damaged, or larger than is allowed.

    The message says why; whoever reports it adds the file's name.
    """


@dataclasses.dataclass(frozen=True, eq=False)
class DecodedImage:
    """A decoded image.

    Attributes:
        image: of mode RGB, upright, without metadata.
        jpeg: the bytes of the file, if they are a JPEG that every decoder
            shows as `image`, also one that knows of no orientation; else None.
    """

    image: Image.Image
    jpeg: bytes | None


def read_image(path: PathLike, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Reads an image file; see `decode_image`.

    Raises:
        UnreadableImageError: the file cannot be read or decoded.
    """
    try:
        with _open_file(pathlib.Path(path), max_pixels) as stream:
            return decode_image(stream, max_pixels)
    # ValueError: a NUL in the path.
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableImageError(f"cannot be read: {reason}") from error


def decode_image(
    stream: BinaryIO, max_pixels: int = MAX_PIXELS
) -> DecodedImage:
    """Decodes an image of any of `FORMATS`, to its end.

    Args:
        stream: an open file, or bytes as one.
        max_pixels: a larger image is refused before it is decoded.

    Raises:
        UnreadableImageError: the image is damaged, of another format, or too
            large. Nothing else is raised for any content.
    """
    if stream.seek(0, os.SEEK_END) == 0:
        raise UnreadableImageError("empty file")
    try:
        with (
            _pillow_limit.of(max_pixels),
            Image.open(stream, formats=FORMATS) as image,
        ):
            pixels = _check_size(image, max_pixels)
            with _turn(pixels):
                return _decode(image, stream)
    except UnreadableImageError:
        raise
    except Exception as error:
        # On damaged files Pillow's many decoders raise nearly anything:
        # OSError, SyntaxError, struct.error, TypeError, IndexError, ...
        raise UnreadableImageError(_reason(error, max_pixels)) from error


def _reason(error: Exception, max_pixels: int) -> str:
    """Says in one line why an image cannot be decoded."""
    if isinstance(error, UnidentifiedImageError):
        # Pillow's own words have an address in memory.
        return f"not in a format that is read ({', '.join(FORMATS)})"
    if isinstance(error, Image.DecompressionBombError):
        # Pillow's words begin with the number.
        number = re.search(r"\d+", str(error))
        return _too_large(f"{number[0] if number else '?'} pixels", max_pixels)
    message = " ".join(str(error).split()) or "cannot be decoded"
    return f"{type(error).__name__}: {message}"


@contextlib.contextmanager
def _open_file(path: pathlib.Path, max_pixels: int) -> Iterator[BinaryIO]:
    """Opens a file that may be an image.

    Pillow gets the open file rather than its name, with which it would map
    some formats into memory: a crash if another program then truncates them.
    """
    # To open a pipe would wait for whoever writes into it.
    if not stat.S_ISREG(path.stat().st_mode):
        raise UnreadableImageError(_what_it_is(path))
    with open(path, "rb") as stream:
        length = os.fstat(stream.fileno()).st_size
        if length > max_bytes(max_pixels):
            raise UnreadableImageError(
                _too_large(f"{length} bytes, more than it needs", max_pixels)
            )
        yield stream


def _what_it_is(path: pathlib.Path) -> str:
    if not path.is_dir():
        return "is no regular file"
    may_be_read = os.access(path, os.R_OK | os.X_OK)
    return "is a folder" + ("" if may_be_read else " that may not be read")


def _check_size(image: Image.Image, max_pixels: int) -> int:
    """Returns the pixels that decoding holds in memory, by the header."""
    pixels = image.width * image.height
    if pixels > max_pixels:
        raise UnreadableImageError(
            _too_large(f"{image.width} x {image.height} pixels", max_pixels)
        )
    if image.format == "TIFF":
        # Decoded tile by tile, and a small image may have a huge tile.
        sides = [image.tag_v2.get(tag, 0) for tag in _TIFF_TILE]
        pixels = max(pixels, sides[0] * sides[1])
        if pixels > max_pixels:
            tile = f"a tile of {sides[0]} x {sides[1]} pixels"
            raise UnreadableImageError(_too_large(tile, max_pixels))
    return pixels


def _too_large(what: str, max_pixels: int) -> str:
    return (
        f"{what}; the limit is {max_pixels} pixels (--max_image_pixels, to be "
        "raised if the file can be trusted)"
    )


def _turn(pixels: int) -> contextlib.AbstractContextManager:
    if pixels > _LARGE:
        return _turn_of_large_images
    return contextlib.nullcontext()


def _decode(image: Image.Image, stream: BinaryIO) -> DecodedImage:
    jpeg = None
    if image.format in ("JPEG", "MPO"):
        stream.seek(0)
        data = stream.read()
        markers = jpeg_markers.read_markers(data)
        if markers.scans > _MAX_SCANS:
            raise UnreadableImageError(
                f"{markers.scans} scans, which would take long to decode; "
                f"{_MAX_SCANS} are allowed"
            )
        if markers.is_sound and image.mode == "RGB":
            jpeg = data
    image.load()
    transposition = _TRANSPOSITIONS.get(_orientation(image))
    rgb = colours.to_rgb(image)
    if transposition is not None:
        rgb, jpeg = rgb.transpose(transposition), None
    # Else colour profile and comment would go into a file made of it.
    rgb.info = {}
    return DecodedImage(rgb, jpeg)


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Damaged EXIF says nothing about a sound picture.
        return None


class _PillowLimit:
    """Pillow's limit of pixels, ours while an image is decoded.

    It holds for the whole process. Several threads may be at it; then the
    largest of their limits holds, and each checks its own.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._active: list[int] = []
        self._before: int | None = None

    @contextlib.contextmanager
    def of(self, max_pixels: int) -> Iterator[None]:
        """Lets Pillow open images of so many pixels."""
        with self._lock:
            if not self._active:
                self._before = Image.MAX_IMAGE_PIXELS
            self._active.append(max_pixels)
            Image.MAX_IMAGE_PIXELS = max(self._active)
        try:
            yield
        finally:
            with self._lock:
                self._active.remove(max_pixels)
                Image.MAX_IMAGE_PIXELS = (
                    max(self._active) if self._active else self._before
                )


_pillow_limit = _PillowLimit()
