"""Writing a part of an index, in batches, so that memory stays bounded."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from delg_tf.common.files import sync
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.compact.image_features import CompactImage
from delg_tf.features.compact.store_info import StoreInfo
from delg_tf.features.compact.store_writer import ArrowStoreWriter
from delg_tf.retrieval.index.disk.manifest import FileRecord, SegmentRecord
from delg_tf.retrieval.index.disk.segment import (
    IMAGES_FILE,
    LOCAL_FILE,
    VECTORS_FOLDER,
)
from delg_tf.retrieval.index.disk.tables import write_rows, write_table
from delg_tf.retrieval.index.metadata import joined
from delg_tf.retrieval.index.settings import IndexSettings
from delg_tf.retrieval.vectors.choice import train_vectors, write_vectors

_DESCRIPTORS_FILE = "descriptors.partial"
_METADATA_FILE = "metadata.arrow"
_TRAINED_FILE = "trained"
# Images of local features that are written at a time.
_LOCAL_IMAGES = 64
# Descriptors that a kind which needs training learns from, at most.
_TRAINING_ROWS = 100_000
_ROLES = {
    IMAGES_FILE: "names",
    VECTORS_FOLDER: "global descriptors",
    LOCAL_FILE: "local features",
}


class SegmentWriter:
    """Collects images in a folder that no manifest names yet.

    Names and metadata are held in memory, descriptors and local features not.
    """

    def __init__(
        self, index: pathlib.Path, folder: str, settings: IndexSettings
    ):
        """Makes the folder.

        Args:
            index: the index.
            folder: of the segment, new, below the index's.
            settings: of the index.
        """
        self._index = index
        self._folder = index / folder
        self._settings = settings
        self._names: list[bytes] = []
        self._has_descriptor: list[np.ndarray] = []
        self._metadata: list[tuple[pa.Table | None, int]] = []
        self._local: ArrowStoreWriter | None = None
        self._folder.mkdir(parents=True)
        # Closed by `close`.
        self._descriptors = open(  # noqa: SIM115
            self._folder / _DESCRIPTORS_FILE, "w+b"
        )
        if settings.local_format is not None:
            self._local = ArrowStoreWriter.create(
                self._folder / LOCAL_FILE,
                StoreInfo(settings.local_format, None, settings.model),
            )

    def __len__(self) -> int:
        return len(self._names)

    def append(
        self,
        names: Sequence[str],
        descriptors: np.ndarray,
        local: Sequence[EncodedFeatures] | None,
        metadata: pa.Table | None,
    ) -> None:
        """Takes images.

        Args:
            names: N of them. A name may come again: where an image is
                replaced before it is committed.
            descriptors: float32 [N, D]; zeros where an image has none.
            local: in the index's format; None if it keeps none.
            metadata: N rows, or None.
        """
        has = descriptors.any(axis=1)
        self._descriptors.write(
            np.ascontiguousarray(descriptors[has], "<f4").data
        )
        if self._local is not None:
            self._append_local(local)
        self._names += map(os.fsencode, names)
        self._has_descriptor.append(has)
        self._metadata.append((metadata, len(names)))

    def _append_local(self, local: Sequence[EncodedFeatures]) -> None:
        # By row: a name may come twice.
        first = len(self)
        images = [
            (str(first + row), CompactImage(None, encoded))
            for row, encoded in enumerate(local)
        ]
        for start in range(0, len(images), _LOCAL_IMAGES):
            self._local.append(images[start : start + _LOCAL_IMAGES])

    def descriptors(self) -> np.ndarray:
        """Maps the descriptors that are not zeros, float32 [M, D]."""
        self._descriptors.flush()
        count = sum(int(has.sum()) for has in self._has_descriptor)
        shape = (count, self._settings.dimension)
        if not count:
            return np.zeros(shape, np.float32)
        return np.memmap(self._descriptors, "<f4", "r", shape=shape)

    def finish(self, trained: pathlib.Path | None) -> SegmentRecord:
        """Writes what is left; all files are on the disk when this returns.

        Args:
            trained: file that the kind of vectors has learnt, or None.
        """
        descriptors = self.descriptors()
        if len(descriptors):
            folder = self._folder / VECTORS_FOLDER
            folder.mkdir()
            write_vectors(folder, descriptors, self._settings.vectors, trained)
        described = len(descriptors)
        del descriptors
        self.close()
        (self._folder / _DESCRIPTORS_FILE).unlink()
        images = pa.table(
            {
                "name": pa.array(self._names, pa.binary()),
                "has_descriptor": np.concatenate(self._has_descriptor),
            }
        )
        write_table(self._folder / IMAGES_FILE, images)
        return SegmentRecord(
            folder=self._folder.relative_to(self._index).as_posix(),
            images=len(self),
            described=described,
            files=self._file_records(),
            metadata=self._write_metadata(),
        )

    def _file_records(self) -> tuple[FileRecord, ...]:
        paths = sorted(p for p in self._folder.rglob("*") if p.is_file())
        return tuple(
            FileRecord.of(
                self._index,
                path,
                _ROLES[path.relative_to(self._folder).parts[0]],
            )
            for path in paths
        )

    def _write_metadata(self) -> FileRecord | None:
        table = joined(self._metadata)
        if table is None:
            return None
        path = self._folder / _METADATA_FILE
        return metadata_file(self._index, path, table)

    def close(self) -> None:
        """Closes the files."""
        self._descriptors.close()
        if self._local is not None:
            self._local.close()


def metadata_file(
    index: pathlib.Path, path: pathlib.Path, table: pa.Table
) -> FileRecord:
    """Writes metadata of a segment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, table)
    return FileRecord.of(index, path, "metadata")


def rows_file(
    index: pathlib.Path, folder: str, rows: np.ndarray
) -> FileRecord | None:
    """Writes rows, ascending, that are removed; None if there are none."""
    if not len(rows):
        return None
    path = index / folder / "removed.int64"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rows(path, rows)
    return FileRecord.of(index, path, "removed rows")


def trained_file(
    index: pathlib.Path,
    folder: str,
    descriptors: np.ndarray,
    settings: IndexSettings,
) -> FileRecord:
    """Lets the kind of vectors learn from descriptors.

    Args:
        index: the index.
        folder: of the generation, below the index's.
        descriptors: float32 [M, D]; some of them are drawn.
        settings: of the index.

    Raises:
        InputError: there are too few.
    """
    path = index / folder / _TRAINED_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    if len(descriptors) > _TRAINING_ROWS:
        drawn = np.random.default_rng(0).choice(
            len(descriptors), _TRAINING_ROWS, replace=False
        )
        descriptors = descriptors[np.sort(drawn)]
    train_vectors(path, np.asarray(descriptors), settings.vectors)
    return FileRecord.of(index, path, "trained")


def sync_folders(index: pathlib.Path, folder: str) -> None:
    """Returns when a generation's folders are on the disk.

    Args:
        index: the index.
        folder: of the generation, below the index's.
    """
    generation = index / folder
    if generation.exists():
        folders = [path for path in generation.rglob("*") if path.is_dir()]
        for path in (*folders, generation, generation.parent, index):
            sync(path)
