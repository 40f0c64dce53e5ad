"""Features of images, written while the network goes on."""

import collections
import concurrent.futures
import errno

from absl import logging

from delg_tf.data.decoder import UnreadableImageError
from delg_tf.extraction.image_extractor import ImageFeatures
from delg_tf.extraction.image_list import ImageItem
from delg_tf.features.storage.base import FeatureSink

# Images whose files may wait to be written.
_PENDING = 8


class FeatureWriter:
    """Writes in a thread of its own; a context.

    Args:
        sink: where they are written; flushed at the end, not closed.

    Attributes:
        skipped: (name, reason) of images without features; complete after
            the context.
        empty: images that are too small to have features.
    """

    def __init__(self, sink: FeatureSink):
        self.skipped: list[tuple[str, str]] = []
        self.empty = 0
        self._sink = sink
        self._pool = concurrent.futures.ThreadPoolExecutor(1)
        self._pending: collections.deque = collections.deque()

    def __enter__(self) -> "FeatureWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            if exception == (None, None, None):
                self._wait(0)
        finally:
            self._pool.shutdown(cancel_futures=True)
            self._sink.flush()

    def write(self, item: ImageItem, features: ImageFeatures) -> None:
        """Takes an image's features; errors of earlier ones show here."""
        future = self._pool.submit(self._write, item, features)
        self._pending.append((item, features, future))
        self._wait(_PENDING)

    def skip(self, item: ImageItem, reason: UnreadableImageError) -> None:
        """Notes that an image has no features."""
        logging.warning("Skipped %s: %s", item.path, reason)
        self.skipped.append((item.name, str(reason)))

    def _wait(self, left: int) -> None:
        while len(self._pending) > left:
            item, features, future = self._pending.popleft()
            try:
                future.result()
                self.empty += features.is_empty
            except UnreadableImageError as error:
                self.skip(item, error)

    def _write(self, item: ImageItem, features: ImageFeatures) -> None:
        try:
            self._sink.write(
                item.name, features.global_descriptor, features.local
            )
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise UnreadableImageError(
                "its name is too long for names of feature files; rename it"
            ) from error
