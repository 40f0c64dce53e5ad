"""What extraction may hold in memory at a time."""

import dataclasses

import psutil

from delg_tf.common.errors import InputError
from delg_tf.data.decoder import UnreadableImageError
from delg_tf.data.image_limits import MAX_PIXELS

# Decoding, by a pixel of the file; see `data.image_limits`.
_DECODING_BYTES = 25
_PREPARED_BYTES = 3
# Of a level, beside the network: the image and the level in float32.
_LEVEL_BYTES = 24
# Of what is left beside the model; the rest is the network's.
_DECODING_SHARE, _WAITING_SHARE = 0.3, 0.2
_READERS = 4
# Less leaves out images of ordinary cameras.
_LEAST = 256 * 2**20
_MIB = 2**20


@dataclasses.dataclass(frozen=True)
class MemoryPlan:
    """How the memory is divided.

    Attributes:
        batch_size: images that go through the network together, at most.
        readers: images decoded at a time.
        ahead: images read before they are asked for, at most.
        waiting: images that may wait for others of their size.
        max_image_pixels: larger images are left out.
        level_pixels: of the largest level of the pyramid of all images in
            the network together, at most.
    """

    batch_size: int = 1
    readers: int = _READERS
    ahead: int = 2
    waiting: int = 8
    max_image_pixels: int = MAX_PIXELS
    level_pixels: float = float("inf")

    def images_together(self, level_pixels: int) -> int:
        """How many images go through the network at a time.

        Args:
            level_pixels: of the largest level of one.

        Returns:
            At least 1; `check` refuses an image that is too large alone.
        """
        if not level_pixels:
            return self.batch_size
        fitting = min(self.batch_size, self.level_pixels // level_pixels)
        return max(1, int(fitting))

    def check(self, level_pixels: int) -> None:
        """Refuses an image that does not fit alone.

        Raises:
            UnreadableImageError: its largest level has too many pixels.
        """
        if level_pixels > self.level_pixels:
            raise UnreadableImageError(
                f"its largest level has {level_pixels} pixels, for which "
                f"--memory_limit_mib is too little (up to "
                f"{int(self.level_pixels)}); allow more, or set "
                "`max_image_size` in the configuration"
            )


def plan_memory(
    limit: int | None,
    bytes_per_pixel: int,
    batch_size: int = 1,
    max_image_pixels: int = MAX_PIXELS,
    max_image_size: int = -1,
    used: int | None = None,
) -> MemoryPlan:
    """Divides the memory that is left beside the model.

    Args:
        limit: bytes that the process may take in all (its resident set);
            None: no limit.
        bytes_per_pixel: what the network takes for a pixel of a level.
        batch_size: images that are to go through the network together.
        max_image_pixels: larger images are left out anyway.
        max_image_size: longest side of an image when it is resized, pixels;
            not positive: images keep their size.
        used: bytes that the process takes already; None: what it takes now.

    Raises:
        InputError: the limit leaves too little to work with.
    """
    if limit is None:
        return MemoryPlan(
            batch_size,
            ahead=2 * batch_size,
            waiting=8 * batch_size,
            max_image_pixels=max_image_pixels,
        )
    used = psutil.Process().memory_info().rss if used is None else used
    free = limit - used
    if free < _LEAST:
        raise InputError(
            f"--memory_limit_mib={limit // _MIB} is too little: with the "
            f"model loaded, {used // _MIB} MiB are taken. Allow at least "
            f"{(used + _LEAST) // _MIB + 1}."
        )
    decodable = int(_DECODING_SHARE * free / _DECODING_BYTES)
    readers = max(1, min(_READERS, decodable // max_image_pixels))
    max_image_pixels = min(max_image_pixels, decodable)
    pixels = max_image_pixels
    if max_image_size > 0:
        pixels = min(pixels, max_image_size**2)
    images = int(_WAITING_SHARE * free / (_PREPARED_BYTES * pixels))
    # Read ahead, waiting, in the network; and one on its way to each queue.
    third = max(1, (images - 2) // 3)
    return MemoryPlan(
        min(batch_size, third),
        readers,
        ahead=min(2 * batch_size, third),
        waiting=min(8 * batch_size, third),
        max_image_pixels=max_image_pixels,
        level_pixels=(1 - _DECODING_SHARE - _WAITING_SHARE)
        * free
        / (bytes_per_pixel + _LEVEL_BYTES),
    )
