"""The single-file store: features of very many images in one Arrow file.

The file is an Arrow IPC stream (pyarrow): any Arrow library reads it. It is
mapped into memory: opening reads the names, and an image's features are read
from the disk when they are asked for. `store_writer` appends to it.

Where a name comes twice, the later row counts: the earlier one was damaged.
"""

import os
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_file, readable
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.compact.image_features import CompactImage
from delg_tf.features.compact.store_info import (
    index_rows,
    map_store,
    read_info,
    warn_of_damage,
)
from delg_tf.features.compact.store_rows import row_global, row_local
from delg_tf.features.local_features import LocalFeatures


class ArrowStore:
    """Reads a store as it was when it was opened. Safe to use by threads.

    Another process may append meanwhile: whatever was complete at the opening
    is there.
    """

    def __init__(self, path: PathLike):
        """Opens the file.

        Args:
            path: the file.

        Raises:
            InputError: it is missing, no store, or of another version.
        """
        self.path = existing_file(path, "feature store")
        scan = map_store(self.path)
        self.info = read_info(scan, self.path)
        if scan.end < scan.size:
            logging.warning(
                "%s: the last %d bytes are no complete images and are ignored; "
                "an extraction into it cuts them off.",
                self.path,
                scan.size - scan.end,
            )
        warn_of_damage(scan, self.path)
        self._batches = scan.batches
        self._checked: set[int] = set()
        self._rows = dict(index_rows(scan))

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: str) -> bool:
        return os.fsencode(name) in self._rows

    @property
    def names(self) -> list[str]:
        """Names of the images, in the order in which they came."""
        return [os.fsdecode(name) for name in self._rows]

    def image(self, name: str) -> CompactImage:
        """Returns all features of an image, as they are stored.

        Raises:
            InputError: there is no such image, or it is damaged.
        """
        return CompactImage(self.global_descriptor(name), self.encoded(name))

    def global_descriptor(self, name: str) -> np.ndarray | None:
        """Returns the `[D]` float32 or float16 vector; None if none is stored.

        Raises:
            InputError: there is no such image, or it is damaged.
        """
        batch, row = self._find(name)
        try:
            return row_global(batch, row)
        except InputError as error:
            raise self._damaged(name, error) from error

    def global_descriptors(self, names: Sequence[str]) -> np.ndarray:
        """Returns `[N, D]` float32; zeros for images too small to have one.

        Raises:
            InputError: an image is missing, damaged, or has none, or they
                differ in their dimension.
        """
        vectors = []
        for name in names:
            vector = self.global_descriptor(name)
            if vector is None:
                raise InputError(
                    f"{self.path}: {readable(name)} has no global descriptor."
                )
            vectors.append(vector)
        sizes = {vector.size for vector in vectors} - {0}
        if len(sizes) > 1:
            raise InputError(
                f"{self.path}: global descriptors have different dimensions, "
                f"{sorted(sizes)}."
            )
        matrix = np.zeros((len(names), max(sizes, default=0)), np.float32)
        for row, vector in zip(matrix, vectors):
            if vector.size:
                row[:] = vector
        return matrix

    def encoded(self, name: str) -> EncodedFeatures | None:
        """Returns the local features as codes; None if none are stored.

        Raises:
            InputError: there is no such image, or it is damaged.
        """
        if self.info.local_format is None:
            return None
        batch, row = self._find(name)
        try:
            return row_local(batch, row, self.info.local_format)
        except InputError as error:
            raise self._damaged(name, error) from error

    def local_features(self, name: str) -> LocalFeatures:
        """Returns the local features as numbers.

        Raises:
            InputError: there is no such image, or it is damaged or has none.
        """
        encoded = self.encoded(name)
        if encoded is None:
            raise InputError(
                f"{self.path}: {readable(name)} has no local features."
            )
        try:
            return encoded.decode()
        except InputError as error:
            raise self._damaged(name, error) from error

    def _find(self, name: str) -> tuple[pa.RecordBatch, int]:
        try:
            number, row = divmod(self._rows[os.fsencode(name)], 1 << 32)
        except KeyError:
            raise InputError(
                f"{self.path} has no image {readable(name)!r}."
            ) from None
        batch = self._batches[number]
        if number not in self._checked:
            try:
                # That rows lie within the file; their bytes are not read.
                batch.validate(full=True)
            except pa.ArrowException as error:
                raise self._damaged(name, error) from error
            self._checked.add(number)
        return batch, row

    def _damaged(self, name: str, error: Exception) -> InputError:
        return InputError(
            f"{self.path}, {readable(name)}: {error}. Copy the store with "
            "tools/convert_features.py, which leaves damaged images out, and "
            "extract them again."
        )
