"""Any image file becomes an 8-bit RGB JPEG."""

import dataclasses
import io

from delg_tf.common.files import PathLike
from delg_tf.data import decoder
from delg_tf.data.decoder import UnreadableImageError
from delg_tf.data.image_limits import MAX_PIXELS

JPEG_QUALITY = 95
# Of a side, in pixels, which the encoder takes.
_LONGEST_SIDE = 65500


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


def read_as_jpeg(path: PathLike, max_pixels: int = MAX_PIXELS) -> JpegImage:
    """Reads an image file of any format; see `as_jpeg`.

    Raises:
        UnreadableImageError: the file cannot be read or decoded.
    """
    return _to_store(decoder.read_image(path, max_pixels))


def as_jpeg(data: bytes, max_pixels: int = MAX_PIXELS) -> JpegImage:
    """Returns the image as an RGB JPEG, its bytes unchanged where they are one.

    The image is decoded fully in any case, so that a truncated file is found
    here and not in the middle of training. A sound RGB JPEG without EXIF
    rotation keeps its bytes, as in the official builder. Everything else is
    stored as `decoder` shows it, in quality 95.

    Args:
        data: content of an image file.
        max_pixels: a larger image is refused before it is decoded.

    Raises:
        UnreadableImageError: the image cannot be decoded.
    """
    return _to_store(decoder.decode_image(io.BytesIO(data), max_pixels))


def _to_store(decoded: decoder.DecodedImage) -> JpegImage:
    image, data = decoded.image, decoded.jpeg
    if data is None:
        if max(image.size) > _LONGEST_SIDE:
            raise UnreadableImageError(
                f"{image.width} x {image.height} pixels: a JPEG has at most "
                f"{_LONGEST_SIDE} a side"
            )
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=JPEG_QUALITY)
        data = buffer.getvalue()
    return JpegImage(data, image.height, image.width, decoded.jpeg is None)
