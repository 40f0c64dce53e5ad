"""Changing an index on Milvus.

Milvus has no transactions. Changes wait in memory until `commit`, which sends
them in batches; readers may see the first of them before the last. An image
is one row, so that it is always whole; local features are on the disk before
it is sent. A commit that is cut off has sent some of its images and not
others, and leaves a mark; the same import again, with --add --replace, sends
all. `rollback` drops what waits.
"""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from absl import logging

from delg_tf.features.compact.store_info import StoreInfo
from delg_tf.retrieval.index.base import ImageBatch, IndexWriter
from delg_tf.retrieval.index.batches import CheckedBatch, checked_batch
from delg_tf.retrieval.index.metadata import as_table, require_known
from delg_tf.retrieval.index.milvus.checking import CUT_OFF
from delg_tf.retrieval.index.milvus.database import BATCH, Database
from delg_tf.retrieval.index.milvus.images import FIELDS, from_vector, to_vector
from delg_tf.retrieval.index.milvus.index import local_folder
from delg_tf.retrieval.index.milvus.local_shards import LocalShardsWriter
from delg_tf.retrieval.index.milvus.locking import lock_index
from delg_tf.retrieval.index.milvus.place import MilvusPlace
from delg_tf.retrieval.index.milvus.record import read_record, write_record
from delg_tf.retrieval.index.milvus.values import (
    check_size,
    json_key,
    key_of,
    name_of,
    to_json,
    widened,
)
from delg_tf.retrieval.index.names import check_names, names_there
from delg_tf.retrieval.index.settings import IndexSettings

# Rows that are set aside at a time; what is not used of them is lost.
_ROWS = 8_192
# Bytes that are sent at a time, some of which are metadata.
_SENT_BYTES = 8 << 20


class MilvusWriter(IndexWriter):
    """Writes an index; see `IndexWriter`.

    It holds all names in memory, and what waits for a commit, without local
    features. Where nothing can be locked (a server, no local features), it is
    for its users to see to that there is one writer at a time.
    """

    def __init__(self, place: MilvusPlace):
        """Connects, and reads the names.

        Raises:
            InputError: pymilvus is missing, nobody answers, there is no
                index, or it is being written.
        """
        self._place = place
        self._database = Database(place)
        record = read_record(self._database, place.collection)
        folder = local_folder(place, record)
        self._lock = lock_index(place, folder, record.settings)
        try:
            self._load()
        except BaseException:
            self._unlock()
            raise
        if self._record.writing:
            logging.warning(CUT_OFF.format(place=place.text))

    def _load(self) -> None:
        """Takes up what is on Milvus; what waits is dropped."""
        self._record = read_record(self._database, self._place.collection)
        # Of images that are there once what waits is committed.
        self._rows = {
            name_of(row["name"]): row["row"]
            for block in self._database.scan(
                self._record.images, self._record.next_row, ("name", "row")
            )
            for row in block
        }
        self._committed = set(self._rows)
        self._schema = self._record.schema
        # Whole rows to send, and names to remove.
        self._waiting: dict[str, dict[str, Any]] = {}
        self._removed: set[str] = set()
        self._next_row = self._record.next_row
        settings = self.settings
        self._local = LocalShardsWriter(
            local_folder(self._place, self._record),
            self._record.shards,
            StoreInfo(settings.local_format, None, settings.model),
        )

    @property
    def settings(self) -> IndexSettings:
        """What all images have in common."""
        return self._record.settings

    @property
    def is_trained(self) -> bool:
        """Milvus' kinds learn by themselves."""
        return True

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def add(self, batch: ImageBatch, replace: bool = False) -> None:
        """Adds images; see `IndexWriter.add`."""
        checked = checked_batch(batch, self.settings)
        if checked is None:
            return
        names_there(checked.names, self._rows, replace)
        schema = widened(self._schema, checked.metadata)
        rows = self._to_rows(checked)
        with self._undone_by_errors():
            self._number(rows)
            if checked.local is not None:
                numbers = [row["row"] for row in rows]
                self._local.append(checked.names, numbers, checked.local)
        self._schema = schema
        for name, row in zip(checked.names, rows):
            # Ids are in the order of adding.
            self._rows.pop(name, None)
            self._rows[name] = row["row"]
            self._waiting[name] = row
            self._removed.discard(name)

    def _to_rows(self, batch: CheckedBatch) -> list[dict[str, Any]]:
        metadata = to_json(batch.metadata, len(batch.names))
        rows = []
        for name, values, descriptor in zip(
            batch.names, metadata, batch.descriptors
        ):
            check_size(values, name)
            row = {
                "name": key_of(name),
                "described": bool(descriptor.any()),
                "meta": values,
                "vector": to_vector(descriptor, self.settings),
            }
            rows.append(row)
        return rows

    def _number(self, rows: list[dict[str, Any]]) -> None:
        """Gives rows their numbers, which no other will ever have."""
        end = self._next_row + len(rows)
        if end > self._record.next_row:
            self._record = dataclasses.replace(
                self._record, next_row=max(end, self._next_row + _ROWS)
            )
            write_record(self._database, self._place.collection, self._record)
        for number, row in enumerate(rows, self._next_row):
            row["row"] = number
        self._next_row = end

    def update(self, batch: ImageBatch) -> None:
        """Replaces images; see `IndexWriter.update`."""
        self._require(batch.names)
        self.add(batch, replace=True)

    def remove(self, names: Iterable[str]) -> None:
        """Removes images; see `IndexWriter.remove`."""
        names = list(names)
        self._require(names)
        for name in names:
            del self._rows[name]
            self._waiting.pop(name, None)
            if name in self._committed:
                self._removed.add(name)

    def set_metadata(
        self,
        names: Sequence[str],
        metadata: pa.Table | Mapping[str, Sequence[Any]],
    ) -> None:
        """Sets columns of images; see `IndexWriter.set_metadata`."""
        self._require(names)
        table = as_table(metadata, len(names))
        if table is None or not len(names):
            return
        schema = widened(self._schema, table)
        keys = [json_key(name) for name in table.column_names]
        found = self._rows_of([n for n in names if n not in self._waiting])
        changed = {}
        for name, values in zip(names, to_json(table, len(names))):
            row = self._waiting.get(name) or found[name]
            kept = {k: v for k, v in row["meta"].items() if k not in keys}
            check_size(kept | values, name)
            changed[name] = row | {"meta": kept | values}
        self._schema = schema
        self._waiting |= changed

    def _rows_of(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Returns whole rows of committed images."""
        keys = [key_of(name) for name in names]
        step = max(1, _SENT_BYTES // (4 * self.settings.dimension))
        rows = {}
        for start in range(0, len(keys), step):
            for row in self._database.get(
                self._record.images, keys[start : start + step], FIELDS
            ):
                vector = from_vector(row["vector"], self.settings)
                rows[name_of(row["name"])] = {f: row[f] for f in FIELDS} | {
                    "vector": to_vector(vector, self.settings)
                }
        # Removed by another since the names were read.
        require_known(names, [name in rows for name in names])
        return rows

    def train(self, descriptors: np.ndarray | None = None) -> None:
        """Does nothing: Milvus' kinds learn by themselves."""

    def commit(self) -> None:
        """Sends all changes; see the top of this file."""
        if not (self._waiting or self._removed):
            return
        name, images = self._place.collection, self._record.images
        with self._undone_by_errors():
            self._record = self._record.begun(self._schema)
            write_record(self._database, name, self._record)
            rows = list(self._waiting.values())
            size = 4 * self.settings.dimension + 256
            step = max(1, min(BATCH, _SENT_BYTES // size))
            for start in range(0, len(rows), step):
                self._database.upsert(images, rows[start : start + step])
            gone = [key_of(name) for name in sorted(self._removed)]
            self._database.delete(images, gone)
            self._database.flush(images)
            self._record = self._record.committed()
            write_record(self._database, name, self._record)
        self._waiting.clear()
        self._removed.clear()
        self._committed = set(self._rows)

    def rollback(self) -> None:
        """Drops what was not committed."""
        if self._waiting or self._removed:
            self._local.close()
            self._load()

    def compact(self) -> None:
        """Commits, rewrites stores of local features, and asks Milvus to."""
        self.commit()
        if self.settings.local_format is not None:
            self._local.drop_others(self._rows.items())
        self._database.compact(self._record.images)

    def close(self) -> None:
        """Drops what was not committed, and lets others write."""
        self._waiting.clear()
        self._removed.clear()
        self._local.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()

    @contextlib.contextmanager
    def _undone_by_errors(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._local.close()
            # What is on Milvus counts.
            self._load()
            raise

    def _require(self, names: Sequence[str]) -> None:
        check_names(names)
        require_known(names, [name in self._rows for name in names])
