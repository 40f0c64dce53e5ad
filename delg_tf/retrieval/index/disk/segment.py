"""A part of an index on the disk: images that were written together."""

import functools
import os
import pathlib

import numpy as np
import pyarrow as pa

from delg_tf.common.errors import InputError
from delg_tf.common.files import readable
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.compact.store import ArrowStore
from delg_tf.retrieval.index.disk.manifest import RESTORE, SegmentRecord
from delg_tf.retrieval.index.disk.tables import read_table
from delg_tf.retrieval.index.settings import IndexSettings
from delg_tf.retrieval.vectors.base import NO_ROW, NO_SIMILARITY
from delg_tf.retrieval.vectors.choice import open_vectors

# In a segment's folder. Images without a descriptor are not in the vectors,
# so that no search meets their zeros.
IMAGES_FILE = "images.arrow"
IMAGES_COLUMNS = {"name": pa.binary(), "has_descriptor": pa.bool_()}
VECTORS_FOLDER = "vectors"
LOCAL_FILE = "local.arrows"


class Segment:
    """N images, as they were written. Safe to use by several threads.

    All files are opened at once: they may be removed from the folder
    afterwards.

    Attributes:
        record: what the manifest says of it.
        vectors: descriptors of the images that have one; None if none has.
        metadata: N rows; None if no image has any.
        has_descriptor: bool [N].
    """

    def __init__(
        self,
        index: pathlib.Path,
        record: SegmentRecord,
        settings: IndexSettings,
        trained: pathlib.Path | None,
    ):
        """Opens the files.

        Raises:
            FileNotFoundError: one is missing.
            InputError: one is missing or damaged; the message names it.
        """
        self.record = record
        folder = index / record.folder
        images = read_table(folder / IMAGES_FILE, IMAGES_COLUMNS)
        self.has_descriptor = images.column("has_descriptor").to_numpy()
        self._names = images.column("name")
        self._settings = settings
        self.vectors = None
        if record.described:
            self.vectors = open_vectors(
                folder / VECTORS_FOLDER, settings.vectors, trained
            )
        self._local = None
        if settings.local_format is not None:
            self._local = ArrowStore(folder / LOCAL_FILE)
        self.metadata = None
        if record.metadata is not None:
            self.metadata = read_table(index / record.metadata.path)
        self._check(folder)
        # Segment row of each row of the vectors; None if they are the same.
        self._rows = None
        if record.described < len(self):
            self._rows = np.flatnonzero(self.has_descriptor)

    def _check(self, folder: pathlib.Path) -> None:
        """Checks that the parts fit together."""
        record, vectors, metadata = self.record, self.vectors, self.metadata
        found = (
            len(self._names),
            int(self.has_descriptor.sum()),
            0 if vectors is None else len(vectors),
            len(self) if metadata is None else len(metadata),
        )
        described = record.described
        if found != (record.images, described, described, record.images) or (
            vectors is not None
            and vectors.dimension != self._settings.dimension
        ):
            raise InputError(
                f"{folder} is not what the manifest says. {RESTORE}"
            )

    def __len__(self) -> int:
        return self.record.images

    @functools.cached_property
    def names(self) -> list[str]:
        """Names of the images."""
        return [os.fsdecode(name) for name in self._names.to_pylist()]

    @functools.cached_property
    def name_column(self) -> pa.ChunkedArray:
        """Names as text, whatever bytes they have."""
        try:
            return self._names.cast(pa.string())
        except pa.ArrowInvalid:
            texts = [readable(name) for name in self._names.to_pylist()]
            return pa.chunked_array([pa.array(texts, pa.string())])

    def search(
        self, queries: np.ndarray, k: int, allowed: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Finds the most similar images that have a descriptor.

        Args:
            queries: float32 [Q, D], L2-normalised.
            k: number of images for each query.
            allowed: bool [N]; None: all.

        Returns:
            rows: int64 [Q, K], K at most k; `NO_ROW` after the last.
            similarities: float32 [Q, K].
        """
        k = min(k, self.record.described)
        if allowed is not None:
            allowed = allowed[self.has_descriptor]
            k = min(k, int(allowed.sum()))
            if allowed.all():
                allowed = None
        if not k:
            shape = (len(queries), 0)
            return np.zeros(shape, np.int64), np.zeros(shape, np.float32)
        rows, similarities = self.vectors.search(queries, k, allowed)
        if self._rows is not None:
            found = rows != NO_ROW
            rows = np.where(found, self._rows[rows], NO_ROW)
        return rows, np.where(rows == NO_ROW, NO_SIMILARITY, similarities)

    def descriptors(self, rows: np.ndarray) -> np.ndarray:
        """Returns descriptors of rows, float32 [M, D]; zeros for none."""
        found = np.zeros((len(rows), self._settings.dimension), np.float32)
        known = self.has_descriptor[rows]
        if known.any():
            places = rows[known]
            if self._rows is not None:
                places = np.searchsorted(self._rows, places)
            found[known] = self.vectors.rows(places)
        return found

    def local(self, row: int) -> EncodedFeatures:
        """Returns the local features of an image.

        Raises:
            InputError: the index keeps none, or they are damaged.
        """
        encoded = None
        if self._local is not None:
            encoded = self._local.encoded(str(row))
        if encoded is None:
            raise InputError(
                f"The index keeps no local features of {self.names[row]}."
            )
        return encoded
