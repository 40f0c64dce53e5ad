"""Descriptors in a graph of neighbours (HNSW, Malkov and Yashunin 2018).

They are stored as float16. The graph depends on the order in which threads
add to it: two builds of the same descriptors may differ, two searches of one
build do not.
"""

import pathlib

import faiss
import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.retrieval.vectors.faiss_index import FaissVectors
from delg_tf.retrieval.vectors.files import (
    blocks,
    check_finite,
    read_facts,
    read_faiss,
    write_facts,
)
from delg_tf.retrieval.vectors.options import VectorOptions

_FILE = "hnsw.faiss"


class HnswVectors(FaissVectors):
    """A graph and float16 [N, D], mapped into memory."""

    def __init__(self, folder: pathlib.Path, options: VectorOptions):
        """Maps the file.

        Raises:
            InputError: it is missing or damaged.
        """
        facts = read_facts(folder, "hnsw")
        path = folder / _FILE
        self._index = read_faiss(path, faiss.IO_FLAG_MMAP_IFC)
        if (
            not isinstance(self._index, faiss.IndexHNSW)
            or self._index.ntotal != facts["rows"]
            or self._index.d != facts["dimension"]
        ):
            raise InputError(f"{path} is damaged. Build the index again.")
        storage = faiss.downcast_index(self._index.storage)
        values = faiss.rev_swig_ptr(
            storage.codes.data(), storage.ntotal * storage.code_size
        )
        # A view of the mapped file; FAISS's own way to rows is slow for many.
        self._array = values.view(np.float16).reshape(len(self), -1)
        self._bytes = path.stat().st_size
        self._ef_search = options.ef_search

    @staticmethod
    def write(
        folder: pathlib.Path, descriptors: np.ndarray, options: VectorOptions
    ) -> None:
        """Builds the graph, in memory, and writes it.

        Raises:
            ValueError: descriptors are not finite.
        """
        check_finite(descriptors)
        rows, dimension = map(int, descriptors.shape)
        index = faiss.IndexHNSWSQ(
            dimension,
            faiss.ScalarQuantizer.QT_fp16,
            options.neighbours,
            faiss.METRIC_INNER_PRODUCT,
        )
        index.hnsw.efConstruction = options.ef_construction
        index.is_trained = True
        for start, stop in blocks(rows, dimension):
            index.add(np.ascontiguousarray(descriptors[start:stop], "f4"))
        faiss.write_index(index, str(folder / _FILE))
        write_facts(
            folder, {"kind": "hnsw", "rows": rows, "dimension": dimension}
        )

    @property
    def memory_bytes(self) -> int:
        """Bytes of the file: a search jumps through all of it."""
        return self._bytes

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Returns the descriptors of rows, rounded to float16."""
        return self._array[np.asarray(rows)].astype(np.float32)

    def _depth(self, k: int) -> int:
        return k

    def _is_few(self, count: int, depth: int) -> bool:
        return super()._is_few(count, depth) or count <= self._effort(
            count, depth
        )

    def _find(
        self,
        queries: np.ndarray,
        depth: int,
        allowed: np.ndarray | None,
        count: int,
    ) -> np.ndarray:
        parameters = faiss.SearchParametersHNSW(
            efSearch=self._effort(count, depth),
            sel=None if allowed is None else bitmap(allowed),
        )
        return self._index.search(queries, depth, params=parameters)[1]

    def _effort(self, count: int, depth: int) -> int:
        # Rows that are not allowed are walked over and count as looked at.
        effort = max(self._ef_search, depth) * len(self) / count
        return min(len(self), int(np.ceil(effort)))


def bitmap(allowed: np.ndarray) -> faiss.IDSelector:
    """Returns FAISS's selector of the rows where bool [N] is true."""
    return faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
