"""Indexes in folders and on Milvus: creating, opening, writing.

What is on Milvus, and pymilvus, is imported when a place names it.
"""

import contextlib
import pathlib
from collections.abc import Iterator

from delg_tf.common.atomic_directory import atomic_directory
from delg_tf.common.files import PathLike
from delg_tf.retrieval.index.base import ImageIndex, IndexWriter
from delg_tf.retrieval.index.disk.index import DiskIndex
from delg_tf.retrieval.index.disk.manifest import MANIFEST
from delg_tf.retrieval.index.disk.writer import DiskWriter, create_disk_index
from delg_tf.retrieval.index.milvus.place import is_milvus, parse_place
from delg_tf.retrieval.index.settings import IndexSettings


def create_index(place: PathLike, settings: IndexSettings) -> None:
    """Makes an empty index.

    Args:
        place: a folder, empty or missing; or as `milvus.place` says.
        settings: what all images will have in common.

    Raises:
        InputError: something is there.
    """
    if is_milvus(place):
        from delg_tf.retrieval.index.milvus.creation import create_milvus_index

        create_milvus_index(parse_place(place), settings)
        return
    with atomic_directory(place, MANIFEST) as folder:
        create_disk_index(folder, settings)


@contextlib.contextmanager
def replaced_index(
    place: PathLike, settings: IndexSettings
) -> Iterator[PathLike]:
    """Makes an empty index that takes the place of an older one.

    Args:
        place: a folder; or as `milvus.place` says.
        settings: what all images will have in common.

    Yields:
        Where to fill the new one. When the block succeeds it moves to
        `place`; until then the older one stays there.

    Raises:
        InputError: something else is there.
    """
    if is_milvus(place):
        from delg_tf.retrieval.index.milvus.creation import (
            replaced_milvus_index,
        )

        with replaced_milvus_index(parse_place(place), settings) as new:
            yield new
        return
    with atomic_directory(place, MANIFEST, overwrite=True) as folder:
        create_disk_index(folder, settings)
        yield folder


def index_exists(place: PathLike) -> bool:
    """Whether there is an index, sound or not."""
    if is_milvus(place):
        from delg_tf.retrieval.index.milvus.creation import milvus_index_exists

        return milvus_index_exists(parse_place(place))
    return (pathlib.Path(place) / MANIFEST).is_file()


def open_index(place: PathLike) -> ImageIndex:
    """Opens an index to read; writers may go on meanwhile.

    Raises:
        InputError: it is missing, no index, or damaged.
    """
    if is_milvus(place):
        from delg_tf.retrieval.index.milvus.index import MilvusIndex

        return MilvusIndex(parse_place(place))
    return DiskIndex(place)


def open_writer(place: PathLike) -> IndexWriter:
    """Opens an index to change it.

    Raises:
        InputError: it is missing, no index, damaged, or being written.
    """
    if is_milvus(place):
        from delg_tf.retrieval.index.milvus.writer import MilvusWriter

        return MilvusWriter(parse_place(place))
    return DiskWriter(place)


def file_beside(place: PathLike) -> str:
    """Returns how names of files begin that say more of an index."""
    if is_milvus(place):
        return parse_place(place).file_beside
    return str(place).rstrip("/")
