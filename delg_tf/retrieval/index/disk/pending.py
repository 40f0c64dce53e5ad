"""Changes of an index that are not committed yet."""

import dataclasses
import pathlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from delg_tf.retrieval.index.batches import CheckedBatch
from delg_tf.retrieval.index.disk.manifest import Manifest, SegmentRecord
from delg_tf.retrieval.index.disk.segment_writer import (
    SegmentWriter,
    metadata_file,
    rows_file,
    trained_file,
)
from delg_tf.retrieval.index.disk.snapshot import Snapshot
from delg_tf.retrieval.index.disk.tables import read_table
from delg_tf.retrieval.index.metadata import with_values


class PendingChanges:
    """What a writer was told since the last commit.

    Rows count the images of the snapshot, removed ones too, then the new ones.
    """

    def __init__(self, index: pathlib.Path, snapshot: Snapshot):
        self._index = index
        self._snapshot = snapshot
        self._new: SegmentWriter | None = None
        self._trained = snapshot.manifest.trained
        self._removed: list[int] = []
        self._metadata: list[tuple[np.ndarray, pa.Table]] = []

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        unchanged = self._trained == self._snapshot.manifest.trained
        return (
            self._new is None
            and not self._removed
            and not self._metadata
            and unchanged
        )

    @property
    def is_trained(self) -> bool:
        """Whether nothing is to be learnt any more."""
        options = self._snapshot.manifest.settings.vectors
        return not options.needs_training or self._trained is not None

    def add(self, batch: CheckedBatch) -> int:
        """Takes images; returns the row of the first."""
        manifest = self._snapshot.manifest
        if self._new is None:
            folder = f"{manifest.generation_folder}/segment"
            self._new = SegmentWriter(self._index, folder, manifest.settings)
        first = manifest.num_rows + len(self._new)
        self._new.append(
            batch.names, batch.descriptors, batch.local, batch.metadata
        )
        return first

    def remove(self, rows: Iterable[int]) -> None:
        """Takes rows to remove."""
        self._removed += rows

    def set_metadata(self, rows: np.ndarray, table: pa.Table) -> None:
        """Takes columns to set.

        Args:
            rows: int64 [M], distinct.
            table: M rows.
        """
        self._metadata.append((rows, table))

    def train(self, descriptors: np.ndarray | None = None) -> None:
        """Lets a kind of vectors that must learn do so, once.

        Args:
            descriptors: float32 [M, D] to learn from; None: those to add.

        Raises:
            InputError: there are too few.
        """
        manifest = self._snapshot.manifest
        if self.is_trained:
            return
        if descriptors is None:
            if self._new is None:
                return
            descriptors = self._new.descriptors()
        if len(descriptors):
            self._trained = trained_file(
                self._index,
                manifest.generation_folder,
                descriptors,
                manifest.settings,
            )

    def written(self) -> Manifest:
        """Writes the changes as files; returns the next state."""
        manifest, trained = self._snapshot.manifest, self._trained
        segments = list(manifest.segments)
        if self._new is not None:
            segments.append(
                self._new.finish(trained and self._index / trained.path)
            )
        removed = np.array(self._removed, np.int64)
        deleted = np.union1d(np.flatnonzero(~self._snapshot.alive), removed)
        deleted_file = manifest.deleted
        if len(removed):
            folder = manifest.generation_folder
            deleted_file = rows_file(self._index, folder, deleted)
        return dataclasses.replace(
            manifest,
            segments=tuple(self._with_metadata(segments)),
            deleted=deleted_file,
            num_deleted=len(deleted),
            trained=trained,
        )

    def _with_metadata(
        self, segments: list[SegmentRecord]
    ) -> Iterable[SegmentRecord]:
        """Writes the metadata of segments in which columns are set."""
        start = 0
        folder = self._index / self._snapshot.manifest.generation_folder
        for number, record in enumerate(segments):
            table = old = self._table(record)
            for rows, values in self._metadata:
                here = (rows >= start) & (rows < start + record.images)
                if here.any():
                    table = with_values(
                        table,
                        record.images,
                        rows[here] - start,
                        values.filter(pa.array(here)),
                    )
            start += record.images
            if table is not old:
                path = folder / f"metadata-{number}.arrow"
                file = metadata_file(self._index, path, table)
                record = dataclasses.replace(record, metadata=file)
            yield record

    def _table(self, record: SegmentRecord) -> pa.Table | None:
        if not self._metadata or record.metadata is None:
            return None
        return read_table(self._index / record.metadata.path)

    def close(self) -> None:
        """Closes the files."""
        if self._new is not None:
            self._new.close()
