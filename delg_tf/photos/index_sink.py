"""Extraction into an index, so that a run that was cut off goes on."""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping

import numpy as np

from delg_tf.extraction.image_list import ImageItem
from delg_tf.features.local_features import LocalFeatures
from delg_tf.features.storage.base import FeatureSink, Local
from delg_tf.photos.collection import file_state, photo_facts
from delg_tf.retrieval.index.base import ImageBatch, IndexWriter

# A commit is as good as a save: so much work may be lost.
_IMAGES = 2000
_SECONDS = 60.0

# Makes or opens the index, given the length of the global descriptors.
OpenWriter = Callable[[int], IndexWriter]
FileStates = Mapping[str, tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class _Waiting:
    name: str
    descriptor: np.ndarray
    local: Local | None


class IndexSink(FeatureSink):
    """Adds photographs to an index, some at a time.

    The index is made when the first descriptor tells how long they are. A
    photograph without one waits for that, and is lost if there is none at all.

    Args:
        items: the photographs that may come.
        directory: the collection's folder.
        known: file states of the photographs in the index, by name.
        open_writer: makes or opens the index.
        skipped_path: CSV file for photographs without features.
        model: identity of what extracts the features.
    """

    is_shared = False

    def __init__(
        self,
        items: list[ImageItem],
        directory: pathlib.Path,
        known: FileStates,
        open_writer: OpenWriter,
        skipped_path: pathlib.Path,
        model: str,
    ):
        self.skipped_path = skipped_path
        self.added = self.updated = 0
        self._items = {item.name: item for item in items}
        self._directory = directory
        self._known = dict(known)
        self._open_writer = open_writer
        self._model = model
        self._writer: IndexWriter | None = None
        self._dimension = 0
        self._waiting: list[_Waiting] = []
        self._since = time.monotonic()

    def contains(self, name: str) -> bool:
        """Whether the index has the photograph, and its file is as it was."""
        if name not in self._known:
            return False
        return self._known[name] == file_state(self._items[name].path)

    def write(
        self,
        name: str,
        global_descriptor: np.ndarray | None,
        local: Local | None,
    ) -> None:
        """Takes a photograph; a later call, or `flush`, commits it."""
        if not self._waiting:
            self._since = time.monotonic()
        if global_descriptor is None:
            global_descriptor = np.zeros(0, np.float32)
        self._waiting.append(_Waiting(name, global_descriptor, local))
        late = time.monotonic() - self._since >= _SECONDS
        if len(self._waiting) >= _IMAGES or late:
            self.flush()

    def flush(self) -> None:
        """Commits what waits."""
        sizes = {one.descriptor.size for one in self._waiting} - {0}
        if self._writer is None and not sizes:
            return
        if self._writer is None:
            self._dimension = max(sizes)
            self._writer = self._open_writer(self._dimension)
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._writer.add(self._batch(waiting), replace=True)
            self._writer.commit()
        for one in waiting:
            self.updated += one.name in self._known
            self.added += one.name not in self._known
            self._known[one.name] = file_state(self._items[one.name].path) or (
                0,
                0,
            )

    def close(self) -> None:
        """Commits what waits, and lets others write."""
        try:
            self.flush()
        finally:
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _batch(self, waiting: list[_Waiting]) -> ImageBatch:
        descriptors = np.zeros((len(waiting), self._dimension), np.float32)
        for row, one in zip(descriptors, waiting):
            if one.descriptor.size:
                row[:] = one.descriptor
        facts = [
            dataclasses.asdict(
                photo_facts(self._items[one.name], self._directory)
            )
            for one in waiting
        ]
        return ImageBatch(
            names=[one.name for one in waiting],
            descriptors=descriptors,
            local=[_local(one.local) for one in waiting],
            metadata={key: [row[key] for row in facts] for key in facts[0]},
            model=self._model,
        )


def _local(local: Local | None) -> Local:
    return LocalFeatures.empty() if local is None else local
