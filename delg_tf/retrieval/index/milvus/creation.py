"""Making indexes on Milvus, and replacing them."""

import contextlib
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator

from delg_tf.common.errors import InputError
from delg_tf.retrieval.index.description import now
from delg_tf.retrieval.index.milvus.database import Database
from delg_tf.retrieval.index.milvus.images import create_images
from delg_tf.retrieval.index.milvus.index import local_folder
from delg_tf.retrieval.index.milvus.local_shards import require_folder
from delg_tf.retrieval.index.milvus.place import MilvusPlace
from delg_tf.retrieval.index.milvus.record import (
    IndexRecord,
    create_record_collection,
    read_record,
    write_record,
)
from delg_tf.retrieval.index.settings import IndexSettings


def create_milvus_index(place: MilvusPlace, settings: IndexSettings) -> None:
    """Makes an empty index.

    Raises:
        InputError: there is a collection of this name, pymilvus is missing,
            nobody answers, or the kind of vectors cannot be searched there.
    """
    root = _local_root(place, settings)
    database = Database(place, create=True)
    if database.has(place.collection):
        raise InputError(
            f"{place.text} exists already. Choose another name, or drop the "
            "collection."
        )
    images = f"{place.collection}_images_{uuid.uuid4().hex[:8]}"
    time = now()
    create_images(database, images, settings)
    create_record_collection(database, place.collection)
    record = IndexRecord(settings, images, time, time, root, place.shards)
    write_record(database, place.collection, record)


def _local_root(place: MilvusPlace, settings: IndexSettings) -> str:
    if settings.local_format is None:
        return ""
    root = place.local_store
    if not root and place.is_lite:
        root = f"{place.uri}.local"
    return str(require_folder(root, place.text).absolute())


def milvus_index_exists(place: MilvusPlace) -> bool:
    """Whether there is an index, or something else of its name.

    Raises:
        InputError: pymilvus is missing, or nobody answers.
    """
    if place.is_lite and not os.path.exists(place.uri):
        return False
    return Database(place).has(place.collection)


@contextlib.contextmanager
def replaced_milvus_index(
    place: MilvusPlace, settings: IndexSettings
) -> Iterator[str]:
    """Makes an index that takes the place of an older one.

    Yields:
        Where to fill the new one. When the block succeeds it takes the place
        by the change of one row; until then the older one stays.

    Raises:
        InputError: something else is there.
    """
    database = Database(place, create=True)
    old = None
    if database.has(place.collection):
        old = read_record(database, place.collection)
    new = place.renamed(f"{place.collection}_new_{uuid.uuid4().hex[:8]}")
    create_milvus_index(new, settings)
    try:
        yield new.text
        record = read_record(database, new.collection)
        if old is None:
            create_record_collection(database, place.collection)
        write_record(database, place.collection, record)
    except BaseException:
        with contextlib.suppress(InputError):
            _drop(database, new, read_record(database, new.collection))
        database.drop(new.collection)
        raise
    database.drop(new.collection)
    if old is not None:
        _drop(database, place, old)


def _drop(database: Database, place: MilvusPlace, record: IndexRecord) -> None:
    """Removes images of an index, and their local features."""
    database.drop(record.images)
    folder: pathlib.Path = local_folder(place, record)
    if record.settings.local_format is not None:
        shutil.rmtree(folder, ignore_errors=True)
