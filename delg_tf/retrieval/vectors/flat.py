"""Descriptors as an array of numbers, searched exhaustively."""

import pathlib

import faiss
import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import existing_file
from delg_tf.retrieval.vectors.base import NO_ROW, NO_SIMILARITY, Vectors

_FILE = "descriptors.npy"


class FlatVectors(Vectors):
    """float32 [N, D], mapped into memory."""

    def __init__(self, folder: pathlib.Path):
        """Maps the file.

        Raises:
            InputError: it is missing or damaged.
        """
        path = existing_file(folder / _FILE)
        try:
            self._array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{path} is no array file: {error}") from error

    @staticmethod
    def write(folder: pathlib.Path, descriptors: np.ndarray) -> None:
        """Writes the file."""
        np.save(folder / _FILE, descriptors)

    def __len__(self) -> int:
        return len(self._array)

    @property
    def dimension(self) -> int:
        """Length of a descriptor, D."""
        return self._array.shape[1]

    @property
    def is_exact(self) -> bool:
        """True."""
        return True

    @property
    def memory_bytes(self) -> int:
        """Bytes of the array."""
        return self._array.nbytes

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Returns the descriptors of rows."""
        return np.ascontiguousarray(self._array[rows])

    def search(
        self,
        queries: np.ndarray,
        k: int,
        allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Finds the most similar rows; see `Vectors.search`."""
        rows = np.full((len(queries), k), NO_ROW, np.int64)
        similarities = np.full((len(queries), k), NO_SIMILARITY, np.float32)
        ids = np.arange(len(self)) if allowed is None else allowed.nonzero()[0]
        count = min(k, len(ids))
        if count:
            array = self._array if allowed is None else self._array[ids]
            found, places = faiss.knn(
                queries, array, count, metric=faiss.METRIC_INNER_PRODUCT
            )
            order = np.lexsort((places, -found), axis=1)
            rows[:, :count] = ids[np.take_along_axis(places, order, 1)]
            similarities[:, :count] = np.take_along_axis(found, order, 1)
        return rows, similarities
