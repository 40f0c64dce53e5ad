"""What a store's file says of itself, and which images it holds."""

import dataclasses
import os
from collections.abc import Iterator

import pyarrow as pa
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.features.compact.formats import GLOBAL_FORMATS, LOCAL_FORMATS
from delg_tf.features.compact.store_rows import store_schema
from delg_tf.features.compact.store_scan import StoreScan, scan_store

KIND = "delg_tf feature store"
VERSION = "1"


@dataclasses.dataclass(frozen=True)
class StoreInfo:
    """What all images of a store have in common.

    Attributes:
        local_format: of local features; None if there are none.
        global_format: of global descriptors; None if there are none.
        model: identity of what the features were extracted with; "" if that
            is not known.
    """

    local_format: str | None
    global_format: str | None = "float32"
    model: str = ""

    def __post_init__(self) -> None:
        for name, known in (
            ("local_format", LOCAL_FORMATS),
            ("global_format", GLOBAL_FORMATS),
        ):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(known)}, or None. "
                    f"Received: {value!r}."
                )

    def to_metadata(self) -> dict[str, str]:
        """Returns the metadata of the file's schema."""
        return {
            "kind": KIND,
            "version": VERSION,
            "local_format": self.local_format or "",
            "global_format": self.global_format or "",
            "model": self.model,
        }


def map_store(path: PathLike) -> StoreScan:
    """Maps a store's file and finds its batches.

    Raises:
        InputError: it cannot be read, or is no store.
    """
    try:
        scan = scan_store(pa.memory_map(os.fspath(path)))
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    if scan is None or (scan.schema.metadata or {}).get(b"kind") != (
        KIND.encode()
    ):
        raise InputError(f"{path} is no feature store, or its head is damaged.")
    return scan


def read_info(scan: StoreScan, path: PathLike) -> StoreInfo:
    """Returns what the schema says of all images.

    Raises:
        InputError: the store is of another version, or its head damaged.
    """
    try:
        metadata = {
            key.decode(): value.decode()
            for key, value in scan.schema.metadata.items()
        }
        if metadata["version"] != VERSION:
            raise InputError(
                f"{path} is a feature store of version {metadata['version']}; "
                f"this program knows version {VERSION}."
            )
        info = StoreInfo(
            metadata["local_format"] or None,
            metadata["global_format"] or None,
            metadata["model"],
        )
    except (KeyError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: its head is damaged: {error}") from error
    expected = store_schema(
        info.local_format, info.global_format, info.to_metadata()
    )
    if not scan.schema.equals(expected, check_metadata=True):
        raise InputError(f"{path}: its head is damaged.")
    return info


def index_rows(scan: StoreScan) -> Iterator[tuple[bytes, int]]:
    """Yields the name and the place of all rows.

    A place is 2^32 times the number of the batch plus the row in it: of a
    million of them a number takes less time and memory than a pair.
    """
    for number, batch in enumerate(scan.batches):
        names = batch.column("name").to_pylist()
        yield from zip(names, range(number << 32, (number << 32) + len(names)))


def warn_of_damage(scan: StoreScan, path: PathLike) -> None:
    """Logs which bytes in the midst of a file cannot be read."""
    for start, end in scan.damaged:
        logging.warning(
            "%s: bytes %d to %d are damaged; the images in them are missing.",
            path,
            start,
            end - 1,
        )
