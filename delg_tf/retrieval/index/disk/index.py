"""An index in a folder, read."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_directory
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.retrieval.descriptors import check_descriptors
from delg_tf.retrieval.index.base import ImageIndex, Where
from delg_tf.retrieval.index.description import IndexDescription
from delg_tf.retrieval.index.disk.manifest import MANIFEST, find_damage
from delg_tf.retrieval.index.disk.snapshot import Snapshot, open_snapshot
from delg_tf.retrieval.index.filter_text import parse_filter
from delg_tf.retrieval.index.filters import Filter
from delg_tf.retrieval.index.hits import SearchHits
from delg_tf.retrieval.index.settings import IndexSettings


class DiskIndex(ImageIndex):
    """Reads an index that `DiskWriter` writes, also while it does.

    Files are mapped into memory. A reader needs no lock and keeps the state
    that it has opened until `refresh`.
    """

    def __init__(self, path: PathLike):
        """Opens the current state.

        Args:
            path: the folder.

        Raises:
            InputError: it is missing, no index, or damaged.
        """
        self._path = existing_directory(path, "index")
        self.place = str(path)
        self._snapshot = open_snapshot(self._path)

    @property
    def snapshot(self) -> Snapshot:
        """The state that is searched."""
        return self._snapshot

    @property
    def settings(self) -> IndexSettings:
        """What all images have in common."""
        return self._snapshot.manifest.settings

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the images; an id is a position here."""
        return self._snapshot.names

    def __len__(self) -> int:
        return len(self._snapshot)

    def __contains__(self, name: str) -> bool:
        return name in self._snapshot.rows_by_name

    def matching(self, where: Where = None) -> np.ndarray:
        """Returns ids; see `SearchableIndex.matching`."""
        snapshot = self._snapshot
        passing = snapshot.passing(_condition(where))
        return np.searchsorted(snapshot.rows, np.flatnonzero(passing))

    def search(
        self, queries: np.ndarray, k: int, where: Where = None
    ) -> SearchHits:
        """Finds the most similar images; see `SearchableIndex.search`."""
        snapshot = self._snapshot
        if k < 1:
            raise ValueError(f"`k` must be 1 or more. Received: {k}")
        if not len(snapshot):
            raise InputError(f"The index {self.place} is empty. Add images.")
        queries = np.asarray(queries)
        if queries.ndim == 2:
            self.settings.check_dimension(queries.shape[1], "The queries")
        queries = check_descriptors("queries", queries)
        return snapshot.search(queries, k, _condition(where))

    def local(self, name: str) -> EncodedFeatures:
        """Returns local features; see `ImageIndex.local`."""
        snapshot = self._snapshot
        return snapshot.local(snapshot.row_of(name))

    def descriptors(self, names: Sequence[str]) -> np.ndarray:
        """Returns descriptors; see `ImageIndex.descriptors`."""
        snapshot = self._snapshot
        rows = np.array([snapshot.row_of(name) for name in names], np.int64)
        return snapshot.descriptors(rows)

    def release_memory(self) -> None:
        """Lets go of mapped pages; see `SearchableIndex.release_memory`."""
        for segment in self._snapshot.segments:
            if segment.vectors is not None:
                segment.vectors.release_memory()

    def metadata(self, name: str) -> dict[str, Any]:
        """Returns metadata; see `ImageIndex.metadata`."""
        snapshot = self._snapshot
        return snapshot.metadata(snapshot.row_of(name))

    def metadata_table(self, columns: Sequence[str]) -> pa.Table:
        """Returns columns; see `ImageIndex.metadata_table`."""
        return self._snapshot.metadata_table(columns)

    @property
    def metadata_schema(self) -> pa.Schema:
        """Columns of the metadata."""
        return self._snapshot.schema

    def describe(self) -> IndexDescription:
        """Returns figures; see `ImageIndex.describe`."""
        snapshot = self._snapshot
        manifest = snapshot.manifest
        described = sum(
            int((segment.has_descriptor & snapshot.alive[start:end]).sum())
            for segment, start, end in zip(
                snapshot.segments, snapshot.starts, snapshot.starts[1:]
            )
        )
        vectors = [s.vectors for s in snapshot.segments if s.vectors]
        return IndexDescription(
            place=self.place,
            settings=manifest.settings,
            images=len(snapshot),
            without_descriptor=len(snapshot) - described,
            generation=manifest.generation,
            segments=len(manifest.segments),
            deleted=manifest.num_deleted,
            columns={f.name: str(f.type) for f in snapshot.schema},
            bytes=_bytes_by_role(self._path, snapshot),
            memory_bytes=sum(part.memory_bytes for part in vectors),
            is_exact=all(part.is_exact for part in vectors),
            created=manifest.created,
            changed=manifest.changed,
        )

    def refresh(self) -> bool:
        """Takes up what was committed; see `ImageIndex.refresh`."""
        before = self._snapshot
        self._snapshot = open_snapshot(self._path, before)
        return self._snapshot is not before

    def verify(self) -> list[str]:
        """Reads everything; see `ImageIndex.verify`."""
        while True:
            self.refresh()
            problems = find_damage(self._path, self._snapshot.manifest)
            # A writer may have removed files meanwhile.
            if not problems or not self.refresh():
                return problems


def _condition(where: Where) -> Filter | None:
    return parse_filter(where) if isinstance(where, str) else where


def _bytes_by_role(path: pathlib.Path, snapshot: Snapshot) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for file in snapshot.manifest.files:
        sizes[file.role] = sizes.get(file.role, 0) + file.size
    return sizes | {"manifest": (path / MANIFEST).stat().st_size}
