"""Descriptors as short codes in inverted lists (IVF-PQ, Jegou et al. 2011).

With a copy in float16 or int8, mapped into memory, codes have 4 bits a part,
which CPUs compare in registers (Andre et al. 2015), and the best of them are
compared with the copy, which makes up for what they lose. Without one, codes
have 8 bits a part: slower and more accurate at the same length.
"""

import pathlib

import faiss
import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import atomic_write
from delg_tf.retrieval.vectors.codes import Codes
from delg_tf.retrieval.vectors.faiss_index import FaissVectors
from delg_tf.retrieval.vectors.files import (
    blocks,
    check_finite,
    read_facts,
    read_faiss,
    write_facts,
)
from delg_tf.retrieval.vectors.hnsw import bitmap
from delg_tf.retrieval.vectors.options import VectorOptions

_FILE = "ivfpq.faiss"
_LEAST_SAMPLE = 256
# As many rows are compared with the copy for shorter lists as for this k: the
# first place is as easily lost by the codes as others.
_LEAST_K = 20
# FAISS's advice for k-means.
_SAMPLES_A_LIST = 39


def default_lists(rows: int, sample: int) -> int:
    """Number of inverted lists.

    The power of two next to the root of the rows, which balances the work of
    choosing lists and of reading them; fewer if the sample has not 39
    descriptors for each.
    """
    most = min(rows**0.5 * 2**0.5, max(1, sample / _SAMPLES_A_LIST))
    return 1 << int(np.log2(max(1, most)))


def default_parts(dimension: int, bits: int) -> int:
    """Number of parts of a code: one for each 8 numbers if it has 4 bits.

    16 if it has 8; or the next length that divides. That is 1/64 of float32:
    128 bytes for 2048 numbers.
    """
    least = min(2 * bits, dimension)
    lengths = range(least, dimension + 1)
    return dimension // next(n for n in lengths if dimension % n == 0)


def default_probes(lists: int) -> int:
    """Number of lists that a search reads: a sixteenth, at least 8."""
    return min(lists, max(8, lists // 16))


def train(
    path: pathlib.Path,
    sample: np.ndarray,
    options: VectorOptions,
    rows: int | None = None,
) -> None:
    """Learns lists and codes; see `choice.train_vectors`."""
    check_finite(sample)
    sample = np.ascontiguousarray(sample, np.float32)
    count, dimension = sample.shape
    if count < max(_LEAST_SAMPLE, options.lists):
        raise InputError(
            f"Training ivfpq needs at least "
            f"{max(_LEAST_SAMPLE, options.lists)} descriptors, but there are "
            f"{count}. Take another kind for so few images."
        )
    lists = options.lists or default_lists(rows or count, count)
    index = faiss.index_factory(
        dimension,
        f"IVF{lists},{_codes(options, dimension)}",
        faiss.METRIC_INNER_PRODUCT,
    )
    # Small samples are the caller's choice; FAISS would warn for each part.
    index.cp.min_points_per_centroid = 1
    index.pq.cp.min_points_per_centroid = 1
    index.train(sample)
    with atomic_write(path) as file:
        file.write(faiss.serialize_index(index).data)


class IvfpqVectors(FaissVectors):
    """Codes in memory, and a copy, if any, mapped into memory."""

    def __init__(self, folder: pathlib.Path, options: VectorOptions):
        """Reads the codes and maps the copy.

        Raises:
            InputError: a file is missing or damaged.
        """
        facts = read_facts(folder, "ivfpq")
        path = folder / _FILE
        shape = facts["rows"], facts["dimension"]
        self._index = read_faiss(path)
        if (
            not isinstance(self._index, faiss.IndexIVF)
            or (self._index.ntotal, self._index.d) != shape
        ):
            raise InputError(f"{path} is damaged. Build the index again.")
        self._bytes = path.stat().st_size
        self._copy = None
        if facts.get("copy") in ("float16", "int8"):
            self._copy = Codes(folder, facts["copy"], *shape)
        else:
            self._index.make_direct_map()
        self._rescore = options.rescore
        self._probes = options.probes or default_probes(self._index.nlist)

    @staticmethod
    def write(
        folder: pathlib.Path,
        descriptors: np.ndarray,
        options: VectorOptions,
        trained: pathlib.Path,
    ) -> None:
        """Writes codes and copy.

        Raises:
            InputError: the trained file is missing or damaged, or does not
                fit the descriptors.
            ValueError: descriptors are not finite.
        """
        check_finite(descriptors)
        rows, dimension = map(int, descriptors.shape)
        index = read_faiss(trained)
        if not isinstance(index, faiss.IndexIVF) or index.d != dimension:
            raise InputError(
                f"{trained} was not trained for descriptors of {dimension} "
                "dimensions. Train it again."
            )
        for start, stop in blocks(rows, dimension):
            index.add(np.ascontiguousarray(descriptors[start:stop], "f4"))
        faiss.write_index(index, str(folder / _FILE))
        if options.copy != "none":
            Codes.write(folder, descriptors, options.copy)
        write_facts(
            folder,
            {
                "kind": "ivfpq",
                "rows": rows,
                "dimension": dimension,
                "copy": options.copy,
            },
        )

    @property
    def memory_bytes(self) -> int:
        """Bytes of the codes; of the copy, a search reads only a few rows."""
        return self._bytes

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Returns descriptors of the copy; without one, of the codes."""
        rows = np.ascontiguousarray(rows, np.int64)
        if self._copy is not None:
            return self._copy.decode(rows)
        if not len(rows):
            return np.empty((0, self.dimension), np.float32)
        return self._index.reconstruct_batch(rows)

    def _depth(self, k: int) -> int:
        return k if self._copy is None else max(k, _LEAST_K) * self._rescore

    def _find(
        self,
        queries: np.ndarray,
        depth: int,
        allowed: np.ndarray | None,
        count: int,
    ) -> np.ndarray:
        parameters = faiss.SearchParametersIVF(
            nprobe=self._probes,
            sel=None if allowed is None else bitmap(allowed),
        )
        return self._index.search(queries, depth, params=parameters)[1]


def _codes(options: VectorOptions, dimension: int) -> str:
    """Returns FAISS's name of the codes (np: not polysemous)."""
    bits, name = (8, "PQ{}np") if options.copy == "none" else (4, "PQ{}x4fs")
    parts = default_parts(dimension, bits)
    if options.code_bytes:
        parts = options.code_bytes * 8 // bits
        if dimension % parts:
            raise InputError(
                f"code_bytes is {options.code_bytes}, which makes {parts} "
                f"parts, but they must divide the {dimension} dimensions."
            )
    return name.format(parts)
