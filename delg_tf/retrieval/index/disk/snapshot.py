"""One state of an index on the disk, opened."""

import bisect
import functools
import itertools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from delg_tf.common.errors import InputError
from delg_tf.common.files import readable
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.retrieval.descriptors import LEAST_SIMILARITY
from delg_tf.retrieval.index.disk.manifest import (
    RESTORE,
    Manifest,
    check_sizes,
    read_manifest,
)
from delg_tf.retrieval.index.disk.segment import Segment
from delg_tf.retrieval.index.disk.tables import read_rows
from delg_tf.retrieval.index.filter_mask import filter_mask
from delg_tf.retrieval.index.filters import NAME_COLUMN, Filter
from delg_tf.retrieval.index.hits import SearchHits, best_hits
from delg_tf.retrieval.index.metadata import conformed, unified
from delg_tf.retrieval.vectors.base import NO_ROW


class Snapshot:
    """A state that never changes. Safe to use by several threads.

    Rows count all images of all segments, ids only those not removed.

    Attributes:
        manifest: what the state consists of.
        segments: opened.
        starts: first row of each segment, and the number of rows.
        alive: bool, a row: whether the image is not removed.
    """

    def __init__(
        self,
        index: pathlib.Path,
        manifest: Manifest,
        previous: "Snapshot | None" = None,
    ):
        """Opens the files.

        Args:
            index: the folder.
            manifest: of the state.
            previous: an earlier state, whose open segments are taken over.

        Raises:
            FileNotFoundError: one is missing.
            InputError: one is missing or damaged; the message names it.
        """
        check_sizes(index, manifest)
        self.manifest = manifest
        trained = manifest.trained and index / manifest.trained.path
        opened = [] if previous is None else previous.segments
        known = {segment.record: segment for segment in opened}
        self.segments = [
            known[record]
            if record in known
            else Segment(index, record, manifest.settings, trained)
            for record in manifest.segments
        ]
        self.starts = [0, *itertools.accumulate(map(len, self.segments))]
        self.alive = np.ones(manifest.num_rows, bool)
        if manifest.deleted is not None:
            rows = read_rows(index / manifest.deleted.path, self.starts[-1])
            self.alive[rows] = False
        # Row of each id.
        self.rows = np.flatnonzero(self.alive)

    def __len__(self) -> int:
        return len(self.rows)

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the images, by id."""
        names = itertools.chain(*(part.names for part in self.segments))
        return tuple(itertools.compress(names, self.alive))

    @functools.cached_property
    def rows_by_name(self) -> dict[str, int]:
        """Row of each image."""
        return dict(zip(self.names, self.rows.tolist()))

    @functools.cached_property
    def schema(self) -> pa.Schema:
        """Columns of the metadata."""
        tables = [part.metadata for part in self.segments]
        return unified([table.schema for table in tables if table is not None])

    def locate(self, row: int) -> tuple[Segment, int]:
        """Returns the segment of a row, and the row in it."""
        number = bisect.bisect_right(self.starts, row) - 1
        return self.segments[number], row - self.starts[number]

    def row_of(self, name: str) -> int:
        """Returns the row of an image.

        Raises:
            InputError: there is no such image.
        """
        row = self.rows_by_name.get(name)
        if row is None:
            raise InputError(f"The index has no image {readable(name)!r}.")
        return row

    def passing(self, condition: Filter | None) -> np.ndarray:
        """Returns which rows are not removed and pass a filter, bool.

        Raises:
            InputError: the filter is wrong.
        """
        if condition is None:
            return self.alive
        masks = [
            filter_mask(condition, self._table(segment))
            for segment in self.segments
        ]
        return np.concatenate([np.zeros(0, bool), *masks]) & self.alive

    def search(
        self, queries: np.ndarray, k: int, condition: Filter | None
    ) -> SearchHits:
        """Searches; see `SearchableIndex.search`, which has checked queries."""
        passing = self.passing(condition)
        k = min(k, int(passing.sum()))
        known = queries.any(axis=1)
        # Of a query without a descriptor: all images are equally far.
        rows = np.tile(np.flatnonzero(passing)[:k], (len(queries), 1))
        similarities = np.full(rows.shape, LEAST_SIMILARITY, np.float32)
        if known.any() and k:
            rows[known], similarities[known] = self._search(
                queries[known], k, passing
            )
        ids = np.searchsorted(self.rows, rows)
        ids[rows == NO_ROW] = NO_ROW
        return SearchHits(self.names, ids, similarities)

    def _search(
        self, queries: np.ndarray, k: int, passing: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Finds rows for queries that have a descriptor."""
        found, similarities = [], []
        for segment, start in zip(self.segments, self.starts):
            allowed = passing[start : start + len(segment)]
            part, values = segment.search(
                queries, k, None if allowed.all() else allowed
            )
            found.append(np.where(part == NO_ROW, NO_ROW, part + start))
            similarities.append(values)
            # Those without a descriptor, of which the first k are enough.
            empty = np.flatnonzero(allowed & ~segment.has_descriptor)[:k]
            shape = (len(queries), len(empty))
            found.append(np.broadcast_to(empty + start, shape))
            similarities.append(np.full(shape, LEAST_SIMILARITY, np.float32))
        return best_hits(np.hstack(found), np.hstack(similarities), k)

    def descriptors(self, rows: np.ndarray) -> np.ndarray:
        """Returns descriptors of rows, float32 [N, D]; zeros for none."""
        found = np.zeros(
            (len(rows), self.manifest.settings.dimension), np.float32
        )
        for segment, start in zip(self.segments, self.starts):
            here = (rows >= start) & (rows < start + len(segment))
            if here.any():
                found[here] = segment.descriptors(rows[here] - start)
        return found

    def metadata(self, row: int) -> dict[str, Any]:
        """Returns a row of the metadata; None where unknown."""
        segment, place = self.locate(row)
        values: dict[str, Any] = dict.fromkeys(self.schema.names)
        if segment.metadata is not None:
            (known,) = segment.metadata.slice(place, 1).to_pylist()
            values |= known
        return values

    def metadata_table(self, columns: Sequence[str]) -> pa.Table:
        """Returns columns of the metadata of all images that are there."""
        parts = [
            conformed(segment.metadata, self.schema, len(segment))
            .select(columns)
            .filter(pa.array(self.alive[start : start + len(segment)]))
            for segment, start in zip(self.segments, self.starts)
        ]
        schema = pa.schema([self.schema.field(name) for name in columns])
        return pa.concat_tables([schema.empty_table(), *parts])

    def local(self, row: int) -> EncodedFeatures:
        """Returns the local features of a row; see `ImageIndex.local`."""
        segment, place = self.locate(row)
        return segment.local(place)

    def _table(self, segment: Segment) -> pa.Table:
        """Returns all that filters may ask of a segment."""
        table = conformed(segment.metadata, self.schema, len(segment))
        return table.add_column(0, NAME_COLUMN, segment.name_column)


def open_snapshot(
    index: pathlib.Path, previous: Snapshot | None = None
) -> Snapshot:
    """Opens the current state; `previous` itself if it still is.

    A writer may remove files between the reading of the manifest and the
    opening of what it names; then there is a newer manifest.

    Raises:
        InputError: the index is damaged; the message names the file.
    """
    manifest = read_manifest(index)
    while True:
        if previous is not None and manifest == previous.manifest:
            return previous
        try:
            return Snapshot(index, manifest, previous)
        except (FileNotFoundError, InputError) as error:
            newer = read_manifest(index)
            if newer == manifest:
                if isinstance(error, InputError):
                    raise
                raise InputError(
                    f"{error.filename} is missing. {RESTORE}"
                ) from error
            manifest = newer
