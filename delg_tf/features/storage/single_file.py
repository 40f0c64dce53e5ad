"""The single-file store as a place to read from and to write to."""

import pathlib
import time

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.compact.image_features import CompactImage
from delg_tf.features.compact.store import ArrowStore
from delg_tf.features.compact.store_info import StoreInfo
from delg_tf.features.compact.store_writer import ArrowStoreWriter
from delg_tf.features.storage.base import FeatureSink, FeatureSource, Local
from delg_tf.features.storage.skipped import SKIPPED_FILE

# Images that are written at once; what a crash loses at most.
_IMAGES = 64
_BYTES = 8 << 20
_SECONDS = 30.0


class StoreSource(FeatureSource):
    """Reads a store.

    Raises:
        InputError: it is missing or no store.
    """

    def __init__(self, path: PathLike):
        self.store = ArrowStore(path)
        self.path = self.store.path

    @property
    def model(self) -> str:
        """What the store says."""
        return self.store.info.model

    def names(self, kind: str | None = None) -> list[str]:
        """Returns the names in the store; none of a kind that it lacks."""
        info = self.store.info
        kept = {"local": info.local_format, "global": info.global_format}
        if kind is not None and kept[kind] is None:
            return []
        return sorted(self.store.names)

    def has(self, name: str, kind: str) -> bool:
        """Whether the image is there and the store keeps the kind."""
        info = self.store.info
        kept = info.local_format if kind == "local" else info.global_format
        return kept is not None and name in self.store

    def formats(self, names: list[str]) -> tuple[str | None, str | None]:
        """Returns the formats of the store."""
        return self.store.info.local_format, self.store.info.global_format

    def missing_text(self, kind: str) -> str:
        """Names the store."""
        return f"images with {kind} features missing in {self.path}"

    def file_of(self, name: str, kind: str) -> pathlib.Path:
        """Returns the store's file."""
        return self.path

    def read_global(self, name: str) -> np.ndarray:
        """Reads the descriptor."""
        vector = self.store.global_descriptor(name)
        if vector is None:
            raise InputError(f"{self.path}: {name} has no global descriptor.")
        return vector.astype(np.float32)

    def read_encoded(self, name: str) -> EncodedFeatures:
        """Views the local features."""
        encoded = self.store.encoded(name)
        if encoded is None:
            raise InputError(f"{self.path}: {name} has no local features.")
        return encoded


class StoreFile(FeatureSink):
    """Writes to a store, some images at a time.

    Args:
        path: the file; made if missing.
        info: what its images have in common.

    Raises:
        InputError: it exists and is of another kind, or is being written.
    """

    is_shared = False

    def __init__(self, path: PathLike, info: StoreInfo):
        path = pathlib.Path(path)
        self._writer = ArrowStoreWriter.open_or_create(path, info)
        self._waiting: dict[str, CompactImage] = {}
        self._bytes = 0
        self._since = time.monotonic()
        self.skipped_path = path.with_name(f"{path.name}.{SKIPPED_FILE}")

    def contains(self, name: str) -> bool:
        """Whether the image is in the store, or waits to be."""
        return name in self._waiting or name in self._writer

    def write(
        self,
        name: str,
        global_descriptor: np.ndarray | None,
        local: Local | None,
    ) -> None:
        """Takes an image; a later call, or `flush`, brings it to the disk."""
        info = self._writer.info
        image = CompactImage.make(
            global_descriptor,
            local,
            info.local_format or "float32",
            info.global_format or "float32",
        )
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting[name] = image
        self._bytes += image.nbytes
        if (
            len(self._waiting) >= _IMAGES
            or self._bytes >= _BYTES
            or time.monotonic() - self._since >= _SECONDS
        ):
            self.flush()

    def flush(self) -> None:
        """Appends what waits."""
        waiting, self._waiting, self._bytes = self._waiting, {}, 0
        self._writer.append(list(waiting.items()))

    def close(self) -> None:
        """Appends what waits, and gives the store back."""
        try:
            self.flush()
        finally:
            self._writer.close()
