"""Appending to the single-file store, so that no crash harms it.

Each call of `append` adds one record batch and returns when it is on the disk.
A process that is killed leaves a part of a batch at the end, which readers
ignore and the next writer cuts off. One writer holds a lock on the file.
"""

import os
from collections.abc import Sequence

from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, atomic_write, refuse_existing
from delg_tf.features.compact.image_features import CompactImage
from delg_tf.features.compact.store_info import (
    StoreInfo,
    index_rows,
    map_store,
    read_info,
    warn_of_damage,
)
from delg_tf.features.compact.store_rows import store_schema, to_batch
from delg_tf.features.compact.store_scan import StoreScan, is_sound

try:
    import fcntl
except ImportError:  # Windows: nobody keeps a second writer away.
    fcntl = None


class ArrowStoreWriter:
    """Appends images to a store; a context, which closes the file.

    Attributes:
        info: what all images have in common.
    """

    def __init__(self, path: PathLike):
        """Opens a store to append to.

        What is not complete at its end is cut off.

        Raises:
            InputError: it is missing, no store, or being written.
        """
        self._path = os.fspath(path)
        try:
            # Not created, not truncated.
            self._file = open(self._path, "r+b", buffering=0)  # noqa: SIM115
        except FileNotFoundError:
            raise InputError(
                f"The feature store {path} does not exist."
            ) from None
        try:
            self._lock()
            scan = map_store(path)
            self.info = read_info(scan, path)
            self._schema = scan.schema
            self._names = _sound_names(scan, self.info)
            self._end = scan.end
            warn_of_damage(scan, path)
            if scan.end < scan.size:
                logging.warning(
                    "%s: %d bytes at the end are no complete images; they are "
                    "cut off.",
                    path,
                    scan.size - scan.end,
                )
                self._file.truncate(scan.end)
            self._file.seek(self._end)
        except BaseException:
            self._file.close()
            raise

    @classmethod
    def create(cls, path: PathLike, info: StoreInfo) -> "ArrowStoreWriter":
        """Makes an empty store and opens it.

        Raises:
            InputError: the file exists already.
        """
        refuse_existing(path)
        schema = store_schema(
            info.local_format, info.global_format, info.to_metadata()
        )
        with atomic_write(path) as file:
            file.write(schema.serialize())
        return cls(path)

    @classmethod
    def open_or_create(
        cls, path: PathLike, info: StoreInfo
    ) -> "ArrowStoreWriter":
        """Opens a store of this kind, and makes it if there is none.

        Raises:
            InputError: there is one of other formats or of another model, or
                something else.
        """
        if not os.path.exists(path):
            return cls.create(path, info)
        writer = cls(path)
        if writer.info != info:
            writer.close()
            raise InputError(_difference(path, writer.info, info))
        return writer

    def __enter__(self) -> "ArrowStoreWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file and gives the lock back."""
        self._file.close()

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return os.fsencode(name) in self._names

    def append(self, images: Sequence[tuple[str, CompactImage]]) -> None:
        """Adds images; they are on the disk when it returns, all or none.

        Some dozens at a time are well: each call costs a kilobyte and the
        time of a disk's answer.

        Args:
            images: (name, features), in the store's formats.

        Raises:
            ValueError: a name is there already, or a format is another.
            OSError: the disk is full, ...; the store is as before.
        """
        if not images:
            return
        rows = [(os.fsencode(name), image) for name, image in images]
        names = {name for name, _ in rows}
        twice = names & self._names
        if twice or len(names) < len(rows):
            raise ValueError(
                "`images` must have new names, each once. Received: "
                f"{sorted(twice)[:3] or 'a name that comes twice'}."
            )
        for _, image in rows:
            self._check_formats(image)
        message = to_batch(rows, self._schema).serialize()
        try:
            self._write(memoryview(message))
            os.fsync(self._file.fileno())
        except BaseException:
            self._file.truncate(self._end)
            self._file.seek(self._end)
            raise
        self._end += message.size
        self._names |= names

    def _write(self, data: memoryview) -> None:
        while data:
            data = data[self._file.write(data) :]

    def _check_formats(self, image: CompactImage) -> None:
        local, vector = image.local, image.global_descriptor
        found = StoreInfo(
            self.info.local_format if local is None else local.local_format,
            self.info.global_format if vector is None else vector.dtype.name,
            self.info.model,
        )
        if found != self.info:
            raise ValueError(
                f"`images` must be in the store's formats, {self.info}. "
                f"Received: {found}."
            )

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{self._path} is being written by another process. Wait for "
                "it, or choose another file."
            ) from None


def _sound_names(scan: StoreScan, info: StoreInfo) -> set[bytes]:
    """Returns the names in a store.

    A machine that lost its power may have left holes in what was appended
    last; images that they are in do not count, and can be appended again.
    """
    names = {name for name, _ in index_rows(scan)}
    if scan.batches:
        last = scan.batches[-1]
        for name, sound in zip(
            last.column("name").to_pylist(), is_sound(last, info.local_format)
        ):
            if not sound:
                names.discard(name)
    return names


def _difference(path: PathLike, found: StoreInfo, wanted: StoreInfo) -> str:
    whats = {
        "local_format": "local features in the format",
        "global_format": "global descriptors in the format",
        "model": "features of the model and configuration",
    }
    name = next(n for n in whats if getattr(found, n) != getattr(wanted, n))
    return (
        f"{path} holds {whats[name]} {getattr(found, name) or 'none'}; this "
        f"run would add {getattr(wanted, name) or 'none'}. Choose another file."
    )
