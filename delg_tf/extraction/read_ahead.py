"""Images read and resized while the network works on others."""

import collections
import concurrent.futures
from collections.abc import Iterator, Sequence

from delg_tf.extraction.batching import batches
from delg_tf.extraction.extractor import Extractor, PreparedImage
from delg_tf.extraction.image_list import ImageItem
from delg_tf.extraction.images import UnreadableImageError, load_image

Loaded = tuple[ImageItem, PreparedImage | UnreadableImageError]

# Images decoded at a time.
_READERS = 4
# So many times a batch may wait for others of its size.
_WAITING = 8


def loaded_batches(
    items: Sequence[ImageItem],
    extractor: Extractor,
    batch_size: int,
    max_pixels: int,
) -> Iterator[list[Loaded]]:
    """Yields the images in groups of one size.

    In memory are at most `(3 + _WAITING) * batch_size` images, and those that
    are being decoded.

    Args:
        items: the images.
        extractor: resizes them.
        batch_size: images of a group, at most.
        max_pixels: a larger image is not decoded.

    Yields:
        Groups of images, or of errors.
    """
    loaded = _load_ahead(items, extractor, 2 * batch_size, max_pixels)
    return batches(loaded, _size, batch_size, _WAITING * batch_size)


def _load_ahead(
    items: Sequence[ImageItem],
    extractor: Extractor,
    ahead: int,
    max_pixels: int,
) -> Iterator[Loaded]:
    """Loads images in order, a few ahead of the one that is yielded."""

    def load(item: ImageItem) -> PreparedImage | UnreadableImageError:
        try:
            image = load_image(item.path, item.box, max_pixels)
            return extractor.prepare(image)
        except UnreadableImageError as error:
            return error

    pending: collections.deque = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(_READERS) as pool:
        for item in items:
            pending.append((item, pool.submit(load, item)))
            if len(pending) > ahead:
                ready, future = pending.popleft()
                yield ready, future.result()
        for ready, future in pending:
            yield ready, future.result()


def _size(loaded: Loaded) -> tuple[int, int]:
    """What images that go through the network together have in common."""
    image = loaded[1]
    readable = isinstance(image, PreparedImage)
    return image.pixels.shape[:2] if readable else (0, 0)
