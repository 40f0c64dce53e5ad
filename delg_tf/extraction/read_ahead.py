"""Images read and resized while the network works on others."""

import collections
import concurrent.futures
from collections.abc import Iterator, Sequence

from delg_tf.extraction.batching import batches
from delg_tf.extraction.image_extractor import ImageExtractor, PreparedImage
from delg_tf.extraction.image_list import ImageItem
from delg_tf.extraction.images import UnreadableImageError, load_image
from delg_tf.extraction.memory import MemoryPlan

Loaded = tuple[ImageItem, PreparedImage | UnreadableImageError]


def loaded_batches(
    items: Sequence[ImageItem], extractor: ImageExtractor, plan: MemoryPlan
) -> Iterator[list[Loaded]]:
    """Yields the images in groups of one size.

    Args:
        items: the images.
        extractor: resizes them.
        plan: how many are in memory at a time.

    Yields:
        Groups of images, or of errors.
    """

    def together(size: tuple[int, int]) -> int:
        # Errors have no size, and take no memory.
        return plan.images_together(extractor.largest_level(size))

    loaded = _load_ahead(items, extractor, plan)
    return batches(loaded, _size, together, plan.waiting)


def _load_ahead(
    items: Sequence[ImageItem], extractor: ImageExtractor, plan: MemoryPlan
) -> Iterator[Loaded]:
    """Loads images in order, a few ahead of the one that is yielded."""

    def load(item: ImageItem) -> PreparedImage | UnreadableImageError:
        try:
            image = load_image(item.path, item.box, plan.max_image_pixels)
            prepared = extractor.prepare(image)
            plan.check(extractor.largest_level(prepared.pixels.shape[:2]))
        except UnreadableImageError as error:
            return error
        return prepared

    pending: collections.deque = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(plan.readers) as pool:
        for item in items:
            pending.append((item, pool.submit(load, item)))
            if len(pending) > plan.ahead:
                ready, future = pending.popleft()
                yield ready, future.result()
        for ready, future in pending:
            yield ready, future.result()


def _size(loaded: Loaded) -> tuple[int, int]:
    """What images that go through the network together have in common."""
    image = loaded[1]
    readable = isinstance(image, PreparedImage)
    return image.pixels.shape[:2] if readable else (0, 0)
