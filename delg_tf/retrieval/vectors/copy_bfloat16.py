"""A copy of float32 descriptors in bfloat16, with bounds on its errors."""

import pathlib

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import read_json, write_json
from delg_tf.retrieval.vectors.files import blocks, map_array, write_array
from delg_tf.retrieval.vectors.product import from_bfloat16, to_bfloat16

_ARRAY = "bfloat16.npy"
_BOUNDS = "bfloat16.json"


class Bfloat16Copy:
    """The copy, mapped into memory.

    Attributes:
        array: uint16 [N, D], bits of bfloat16.
    """

    def __init__(self, folder: pathlib.Path, rows: int, dimension: int):
        """Maps the files.

        Raises:
            InputError: a file is missing or damaged.
        """
        self.array = map_array(
            folder / _ARRAY, (rows, dimension), np.dtype("uint16")
        )
        try:
            bounds = read_json(folder / _BOUNDS)
            self._error = float(bounds["largest_error"])
            self._norm = float(bounds["largest_norm"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{folder / _BOUNDS} is damaged. Build the index again."
            ) from error

    @staticmethod
    def is_in(folder: pathlib.Path) -> bool:
        """Whether a folder has a copy."""
        return (folder / _BOUNDS).is_file()

    @staticmethod
    def write(folder: pathlib.Path, descriptors: np.ndarray) -> None:
        """Writes the files; `descriptors` is float32 [N, D]."""
        error = norm = 0.0

        def parts():
            nonlocal error, norm
            for start, stop in blocks(*descriptors.shape):
                part = np.asarray(descriptors[start:stop], np.float32)
                bits = to_bfloat16(part)
                rounded = from_bfloat16(bits)
                # Exact, as the two are within a factor of two.
                part = part - rounded
                error = max(error, _largest_norm(part))
                norm = max(norm, _largest_norm(rounded))
                yield bits

        shape = tuple(descriptors.shape)
        write_array(folder / _ARRAY, shape, np.dtype("uint16"), parts())
        # Rounded up, as bounds: norms are sums in float32.
        write_json(
            folder / _BOUNDS,
            {
                "largest_error": error * (1 + 1e-3),
                "largest_norm": norm * (1 + 1e-3),
            },
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return self.array.nbytes

    def errors(
        self,
        queries: np.ndarray,
        rounded: np.ndarray,
        norms: np.ndarray,
        bound: float,
    ) -> np.ndarray:
        """Bounds the difference of scores from true similarities.

        Args:
            queries: float32 [Q, D].
            rounded: the same as bfloat16.
            norms: float64 [Q], of the queries.
            bound: relative error of sums, and of true similarities.

        Returns:
            float64 [Q].
        """
        lost = np.linalg.norm(
            queries.astype(np.float64) - rounded.astype(np.float64), axis=1
        )
        return (
            lost * self._norm
            + norms * self._error
            + bound * (norms + lost) * self._norm
        )


def _largest_norm(values: np.ndarray) -> float:
    return float(np.sqrt(np.einsum("nd,nd->n", values, values).max()))
