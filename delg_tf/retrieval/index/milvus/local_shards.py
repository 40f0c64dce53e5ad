"""Local features of an index on Milvus: stores in a folder of all machines.

An image is in the store whose number is a hash of its name; there it is
called by its row, which is never given again. So what an image that is
replaced had stays until the index is compacted, and nothing that is not
committed is ever found.
"""

import hashlib
import os
import pathlib
import threading
from collections.abc import Iterable, Sequence

from delg_tf.common.errors import InputError
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.compact.image_features import CompactImage
from delg_tf.features.compact.store import ArrowStore
from delg_tf.features.compact.store_info import StoreInfo
from delg_tf.features.compact.store_writer import ArrowStoreWriter

# Images that are written at a time.
_BLOCK = 64


def shard_of(name: str, shards: int) -> int:
    """Returns the number of the store that an image is in.

    It is the first 8 bytes of BLAKE2b of the name, modulo the number.
    """
    digest = hashlib.blake2b(os.fsencode(name), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shards


def shard_path(folder: pathlib.Path, number: int) -> pathlib.Path:
    """Returns the file of a store."""
    return folder / f"shard-{number:05d}.arrows"


class LocalShards:
    """Reads local features. Safe to use by several threads.

    A store is opened when one of its images is asked for.
    """

    def __init__(self, folder: pathlib.Path, shards: int):
        """Takes the folder and the number of stores."""
        self._folder = folder
        self._shards = shards
        self._stores: dict[int, ArrowStore] = {}
        self._lock = threading.Lock()

    def encoded(self, name: str, row: int) -> EncodedFeatures | None:
        """Returns local features; None if there are none.

        Raises:
            InputError: the store is missing, or damaged.
        """
        store = self._store(shard_of(name, self._shards), str(row))
        return store.encoded(str(row)) if str(row) in store else None

    def _store(self, number: int, key: str) -> ArrowStore:
        with self._lock:
            store = self._stores.get(number)
            if store is None or key not in store:
                # Images may have been added since it was opened.
                store = ArrowStore(shard_path(self._folder, number))
                self._stores[number] = store
            return store


class LocalShardsWriter:
    """Appends local features; one process at a time, as each store sees to."""

    def __init__(self, folder: pathlib.Path, shards: int, info: StoreInfo):
        """Takes the folder, the number of stores and their format."""
        self._folder = folder
        self._shards = shards
        self._info = info
        self._writers: dict[int, ArrowStoreWriter] = {}

    def append(
        self,
        names: Sequence[str],
        rows: Sequence[int],
        local: Sequence[EncodedFeatures],
    ) -> None:
        """Writes images, which are on the disk when this returns.

        Raises:
            InputError: another process writes.
            OSError: the disk is full, ...
        """
        parts: dict[int, list[tuple[str, CompactImage]]] = {}
        for name, row, encoded in zip(names, rows, local):
            part = parts.setdefault(shard_of(name, self._shards), [])
            part.append((str(row), CompactImage(None, encoded)))
        for number, images in sorted(parts.items()):
            writer = self._writers.get(number)
            if writer is None:
                writer = self._writers[number] = self._open(number)
            for start in range(0, len(images), _BLOCK):
                writer.append(images[start : start + _BLOCK])

    def _open(self, number: int) -> ArrowStoreWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = shard_path(self._folder, number)
        return ArrowStoreWriter.open_or_create(path, self._info)

    def drop_others(self, kept: Iterable[tuple[str, int]]) -> None:
        """Rewrites the stores that hold more than some images.

        Readers keep the file that they have opened.

        Args:
            kept: names and rows.
        """
        self.close()
        rows: dict[int, set[str]] = {}
        for name, row in kept:
            rows.setdefault(shard_of(name, self._shards), set()).add(str(row))
        for number in range(self._shards):
            path = shard_path(self._folder, number)
            if path.exists():
                self._rewrite(path, rows.get(number, set()))

    def _rewrite(self, path: pathlib.Path, kept: set[str]) -> None:
        store = ArrowStore(path)
        rows = [row for row in store.names if row in kept]
        if len(rows) == len(store):
            return
        new = path.with_suffix(".partial")
        new.unlink(missing_ok=True)
        with ArrowStoreWriter.create(new, self._info) as writer:
            for start in range(0, len(rows), _BLOCK):
                block = rows[start : start + _BLOCK]
                writer.append([(row, store.image(row)) for row in block])
        os.replace(new, path)

    def close(self) -> None:
        """Closes the stores."""
        while self._writers:
            self._writers.popitem()[1].close()


def size_of(folder: pathlib.Path, shards: int) -> int:
    """Returns the bytes of all stores."""
    paths = (shard_path(folder, number) for number in range(shards))
    return sum(path.stat().st_size for path in paths if path.exists())


def require_folder(root: str, place: str) -> pathlib.Path:
    """Returns the folder above an index's local features.

    Raises:
        InputError: it is not named, or not there.
    """
    if not root:
        raise InputError(
            f"{place}: an index on a server keeps local features in a folder "
            "that all machines mount. Name it: ?local_store=FOLDER"
        )
    return pathlib.Path(root)
