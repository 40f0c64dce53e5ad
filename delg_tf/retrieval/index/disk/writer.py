"""Changing an index in a folder, so that no crash harms it.

A commit writes new files, has them put on the disk, and then replaces the
manifest. Before that moment the index is the old state, after it the new one.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import filelock
import numpy as np
import pyarrow as pa
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_directory
from delg_tf.retrieval.descriptors import check_descriptors
from delg_tf.retrieval.index.base import IndexWriter
from delg_tf.retrieval.index.batches import ImageBatch, checked_batch
from delg_tf.retrieval.index.description import now
from delg_tf.retrieval.index.disk import compaction
from delg_tf.retrieval.index.disk.cleaning import clean
from delg_tf.retrieval.index.disk.manifest import (
    Manifest,
    read_manifest,
    write_manifest,
)
from delg_tf.retrieval.index.disk.pending import PendingChanges
from delg_tf.retrieval.index.disk.segment_writer import rows_file, sync_folders
from delg_tf.retrieval.index.disk.snapshot import Snapshot, open_snapshot
from delg_tf.retrieval.index.metadata import (
    as_table,
    require_known,
    unified,
)
from delg_tf.retrieval.index.names import check_names, names_there
from delg_tf.retrieval.index.settings import IndexSettings

_LOCK = "writer.lock"


class DiskWriter(IndexWriter):
    """Writes an index; see `IndexWriter`."""

    def __init__(self, path: PathLike):
        """Locks the index, and removes what a killed writer has left.

        Args:
            path: the folder.

        Raises:
            InputError: it is missing, no index, damaged, or being written.
        """
        self._path = existing_directory(path, "index")
        read_manifest(self._path)
        # The system gives the lock back when a process ends, however it does.
        self._lock = filelock.FileLock(self._path / _LOCK, thread_local=False)
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise InputError(
                f"The index {path} is being written by another process. Wait "
                "for it to end."
            ) from None
        try:
            self._reload(None)
        except BaseException:
            self._lock.release()
            raise

    @property
    def settings(self) -> IndexSettings:
        """What all images have in common."""
        return self._snapshot.manifest.settings

    @property
    def is_trained(self) -> bool:
        """Whether the kind of vectors has learnt what it needs."""
        return self._pending.is_trained

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, batch: ImageBatch, replace: bool = False) -> None:
        """Adds images; see `IndexWriter.add`."""
        checked = checked_batch(batch, self.settings)
        if checked is None:
            return
        there = names_there(checked.names, self._rows, replace)
        schema = self._with_columns(checked.metadata)
        with self._undone_by_errors():
            self._pending.remove(self._rows.pop(name) for name in there)
            first = self._pending.add(checked)
        self._schema = schema
        self._rows.update(zip(checked.names, range(first, first + len(batch))))

    def update(self, batch: ImageBatch) -> None:
        """Replaces images; see `IndexWriter.update`."""
        self._require(batch.names)
        self.add(batch, replace=True)

    def remove(self, names: Iterable[str]) -> None:
        """Removes images; see `IndexWriter.remove`."""
        names = list(names)
        self._require(names)
        self._pending.remove(self._rows.pop(name) for name in names)

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
        self._schema = self._with_columns(table)
        rows = np.array([self._rows[name] for name in names], np.int64)
        self._pending.set_metadata(rows, table)

    def train(self, descriptors: np.ndarray | None = None) -> None:
        """Learns what the kind needs; see `IndexWriter.train`."""
        if descriptors is not None:
            descriptors = check_descriptors(
                "descriptors", descriptors, self.settings.dimension
            )
            descriptors = descriptors[descriptors.any(axis=1)]
        self._pending.train(descriptors)

    def commit(self) -> None:
        """Makes all changes visible; see `IndexWriter.commit`.

        Afterwards segments are merged if `compaction.first_to_merge` says so.
        Where that fails, the commit stands, and a later one tries again.
        """
        if self._pending.is_empty:
            return
        self.train()
        with self._undone_by_errors():
            self._publish(self._pending.written())
        manifest = self._snapshot.manifest
        first = compaction.first_to_merge(manifest)
        if first < len(manifest.segments):
            try:
                self._compact(first)
            except OSError as error:
                logging.warning(
                    "%s could not be compacted: %s", self._path, error
                )

    def compact(self) -> None:
        """Merges everything; see `IndexWriter.compact`."""
        self.commit()
        if not compaction.is_compact(self._snapshot.manifest):
            self._compact(0)

    def _compact(self, first: int) -> None:
        with self._undone_by_errors():
            snapshot = self._snapshot
            segments, deleted = compaction.merged(self._path, snapshot, first)
            folder = snapshot.manifest.generation_folder
            self._publish(
                dataclasses.replace(
                    snapshot.manifest,
                    segments=segments,
                    deleted=rows_file(self._path, folder, deleted),
                    num_deleted=len(deleted),
                )
            )

    def _publish(self, manifest: Manifest) -> None:
        """Makes a state the next one, whose files are written."""
        sync_folders(self._path, manifest.generation_folder)
        write_manifest(
            self._path,
            dataclasses.replace(
                manifest, generation=manifest.generation + 1, changed=now()
            ),
        )
        self._reload(self._snapshot)

    def rollback(self) -> None:
        """Undoes everything since the last commit."""
        if not self._pending.is_empty:
            self._reload(self._snapshot)

    def close(self) -> None:
        """Undoes what was not committed, and lets others write."""
        if not self._lock.is_locked:
            return
        try:
            self.rollback()
        finally:
            self._lock.release()

    def _reload(self, previous: Snapshot | None) -> None:
        """Takes up the state on the disk, and removes what is not of it."""
        if previous is not None:
            self._pending.close()
        self._snapshot = snapshot = open_snapshot(self._path, previous)
        clean(self._path, snapshot.manifest)
        self._pending = PendingChanges(self._path, snapshot)
        # Of images that are there once what is pending is committed.
        self._rows = dict(snapshot.rows_by_name)
        self._schema = snapshot.schema

    @contextlib.contextmanager
    def _undone_by_errors(self) -> Iterable[None]:
        try:
            yield
        except BaseException:
            # What is on the disk counts: the manifest may have been replaced.
            self._reload(self._snapshot)
            raise

    def _require(self, names: Sequence[str]) -> None:
        check_names(names)
        require_known(names, [name in self._rows for name in names])

    def _with_columns(self, metadata: pa.Table | None) -> pa.Schema:
        """Returns the columns with those of new metadata."""
        if metadata is None:
            return self._schema
        return unified([self._schema, metadata.schema])


def create_disk_index(path: pathlib.Path, settings: IndexSettings) -> None:
    """Writes an empty index into an empty folder."""
    time = now()
    write_manifest(path, Manifest(settings, created=time, changed=time))
