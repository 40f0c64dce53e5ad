"""Descriptors as arrays of numbers: float32, float16 or int8 on disk.

int8: each descriptor has its own scale, its largest absolute value / 127.
Compared with a scale for each dimension, taken over all descriptors, this
gives a smaller angle to the original, and needs no training.
"""

import pathlib
from collections.abc import Iterator

import numpy as np

from delg_tf.retrieval.vectors.files import blocks, map_array, write_array

_ARRAY = "descriptors.npy"
_SCALES = "scales.npy"


class Codes:
    """Stored descriptors, mapped into memory.

    Attributes:
        array: float32, float16 or int8 [N, D].
        scales: float32 [N], what int8 codes are multiplied with; else None.
    """

    def __init__(self, folder: pathlib.Path, dtype: str, rows: int, dim: int):
        """Maps the files.

        Raises:
            InputError: a file is missing or damaged.
        """
        self.array = map_array(folder / _ARRAY, (rows, dim), np.dtype(dtype))
        self.scales = None
        if dtype == "int8":
            self.scales = np.array(
                map_array(folder / _SCALES, (rows,), np.dtype("float32"))
            )

    @staticmethod
    def write(
        folder: pathlib.Path, descriptors: np.ndarray, dtype: str
    ) -> None:
        """Writes the files; `descriptors` is float32 [N, D]."""
        scales = np.ones(len(descriptors), np.float32)

        def parts() -> Iterator[np.ndarray]:
            for start, stop in blocks(*descriptors.shape):
                part = np.asarray(descriptors[start:stop], np.float32)
                if dtype == "int8":
                    most = np.abs(part).max(axis=1)
                    most[most == 0] = 127
                    scales[start:stop] = most / 127
                    part = np.rint(part / scales[start:stop, None])
                yield part

        shape = tuple(descriptors.shape)
        write_array(folder / _ARRAY, shape, np.dtype(dtype), parts())
        if dtype == "int8":
            write_array(folder / _SCALES, scales.shape, scales.dtype, [scales])

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.array.nbytes + (
            0 if self.scales is None else self.scales.nbytes
        )

    def decode(self, rows: np.ndarray | slice) -> np.ndarray:
        """Returns float32 [M, D], the descriptors of rows as stored.

        A view where nothing needs decoding, so not to be written to.
        """
        values = self.array[rows]
        if values.dtype != np.float32:
            values = values.astype(np.float32)
        if self.scales is not None:
            values *= self.scales[rows, None]
        return values
