"""Indexes on any machine: creating, opening, writing."""

import contextlib
import pathlib
from collections.abc import Iterator

from delg_tf.common.atomic_directory import atomic_directory
from delg_tf.common.files import PathLike
from delg_tf.retrieval.index.base import ImageIndex, IndexWriter
from delg_tf.retrieval.index.disk.index import DiskIndex
from delg_tf.retrieval.index.disk.manifest import MANIFEST
from delg_tf.retrieval.index.disk.writer import DiskWriter, create_disk_index
from delg_tf.retrieval.index.settings import IndexSettings


def create_index(place: PathLike, settings: IndexSettings) -> None:
    """Makes an empty index.

    Args:
        place: a folder, empty or missing.
        settings: what all images will have in common.

    Raises:
        InputError: something is there.
    """
    with atomic_directory(place, MANIFEST) as folder:
        create_disk_index(folder, settings)


@contextlib.contextmanager
def replaced_index(
    place: PathLike, settings: IndexSettings
) -> Iterator[PathLike]:
    """Makes an empty index that takes the place of an older one.

    Args:
        place: a folder.
        settings: what all images will have in common.

    Yields:
        Where to fill the new one. When the block succeeds it moves to
        `place`; until then the older one stays there.

    Raises:
        InputError: something else is there.
    """
    with atomic_directory(place, MANIFEST, overwrite=True) as folder:
        create_disk_index(folder, settings)
        yield folder


def index_exists(place: PathLike) -> bool:
    """Whether there is an index, sound or not."""
    return (pathlib.Path(place) / MANIFEST).is_file()


def open_index(place: PathLike) -> ImageIndex:
    """Opens an index to read; writers may go on meanwhile.

    Raises:
        InputError: it is missing, no index, or damaged.
    """
    return DiskIndex(place)


def open_writer(place: PathLike) -> IndexWriter:
    """Opens an index to change it.

    Raises:
        InputError: it is missing, no index, damaged, or being written.
    """
    return DiskWriter(place)
