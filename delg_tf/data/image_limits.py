"""How large an image may be.

The number of pixels is known from a file's header, before memory is spent on
them.
"""

from absl import flags

# 2^29 bytes of RGB. TensorFlow's JPEG decoder, which training uses, takes no
# more, and Pillow's own limit is the same number.
MAX_PIXELS = 2**29 // 3


def max_bytes(max_pixels: int) -> int:
    """Returns how long the file of an image of so many pixels may be.

    Eight bytes a pixel are 16-bit colour with transparency, uncompressed. A
    longer file (a film, say) is not even opened.
    """
    return max(64 << 20, 8 * max_pixels)


def define_flag() -> None:
    """Defines --max_image_pixels."""
    flags.DEFINE_integer(
        "max_image_pixels",
        MAX_PIXELS,
        "Images of more pixels are left out and reported, undecoded. Decoding "
        "takes up to 25 bytes a pixel.",
        lower_bound=1,
    )
