"""Descriptors of an array, in memory or mapped from a file."""

from collections.abc import Sequence

import numpy as np

from delg_tf.retrieval.streaming.base import DescriptorSource
from delg_tf.retrieval.vectors.files import mapped_file, release_pages


class ArraySource(DescriptorSource):
    """float32, float16 or int8 [N, D]."""

    def __init__(
        self,
        names: Sequence[str],
        array: np.ndarray,
        scales: np.ndarray | None = None,
    ):
        """Takes the array.

        Args:
            names: N names.
            array: float32, float16 or int8 [N, D]; may be mapped (`np.load`
                with `mmap_mode="r"`), and larger than memory. Rows are unit
                vectors, or zeros for an image without a descriptor.
            scales: float32 [N], what rows of int8 are multiplied with.

        Raises:
            ValueError: shapes or types do not fit.
        """
        if array.ndim != 2 or len(array) != len(names) or not array.size:
            raise ValueError(
                f"`array` must be [{len(names)}, D] with N and D at least 1, "
                f"one row a name. Received: shape {array.shape}"
            )
        if array.dtype not in (np.float32, np.float16, np.int8):
            raise ValueError(
                "`array` must be float32, float16 or int8. Received: "
                f"{array.dtype}"
            )
        if (scales is not None) != (array.dtype == np.int8) or (
            scales is not None and scales.shape != (len(array),)
        ):
            raise ValueError(
                "`scales` must be one number a row for int8, and None for "
                f"floats. Received: {np.shape(scales)} for {array.dtype} "
                f"{array.shape}"
            )
        self._names = names
        self._array = array
        self._scales = scales
        self._is_mapped = mapped_file(array) is not None

    @property
    def names(self) -> Sequence[str]:
        """Names of the images."""
        return self._names

    @property
    def dimension(self) -> int:
        """Length of a descriptor, D."""
        return self._array.shape[1]

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Returns descriptors; see `DescriptorSource.rows`."""
        return self._decoded(ids)

    def block(self, start: int, stop: int) -> np.ndarray:
        """Returns neighbours; see `DescriptorSource.block`."""
        return self._decoded(slice(start, stop))

    def release(self) -> None:
        """Lets go of pages of a mapped file."""
        release_pages(self._array)

    def _decoded(self, rows: np.ndarray | slice) -> np.ndarray:
        # A copy of what is mapped: whoever asks for the next block meanwhile
        # waits for the disk here.
        copy = self._is_mapped
        values = self._array[rows].astype(np.float32, copy=copy)
        if self._scales is not None:
            values = values * self._scales[rows, None]
        return np.asarray(values)
