"""Descriptors as an array of numbers, searched exhaustively and exactly.

Fast products find candidates, and true similarities of those decide. Errors of
the products are bounded, so that the result is what comparing every row would
give. For a query q, a row x and what they are rounded to, q' and x', a sum in
float32 of q' x' is, by Cauchy and Schwarz, within

    |q - q'| |x'| + |q| |x - x'| + g |q'| |x'|

of the inner product of q and x; g is `product.rounding_bound`.
"""

import pathlib
from collections.abc import Iterator

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.retrieval.vectors import product, rescore
from delg_tf.retrieval.vectors.base import Vectors
from delg_tf.retrieval.vectors.candidates import Candidates, grouped
from delg_tf.retrieval.vectors.codes import Codes
from delg_tf.retrieval.vectors.copy_bfloat16 import Bfloat16Copy
from delg_tf.retrieval.vectors.faiss_flat import faiss_candidates
from delg_tf.retrieval.vectors.files import (
    check_finite,
    read_facts,
    release_pages,
    write_facts,
)

METHODS = ("auto", "product", "faiss")
# Below, FAISS takes milliseconds, and OpenVINO need not be loaded.
_FEW_ROWS = 20_000
# Where fewer of the rows are allowed, they are picked out and compared.
_FEW_ALLOWED = 0.05
# Queries of one pass over the rows.
_QUERIES = 256


class FlatVectors(Vectors):
    """float32, float16 or int8 [N, D], mapped into memory."""

    def __init__(self, folder: pathlib.Path, kind: str, method: str = "auto"):
        """Maps the files.

        Args:
            folder: as `write` left it.
            kind: "float32", "float16" or "int8".
            method: how candidates are found; results are the same. "faiss";
                "product": OpenVINO, for float32 from the bfloat16 copy;
                "auto": FAISS below 20,000 rows, and for float32 without a
                copy or on a CPU that does not multiply bfloat16.

        Raises:
            InputError: a file is missing or damaged.
            ValueError: the method is not known, or needs a copy that was not
                written.
        """
        if method not in METHODS:
            raise ValueError(
                f"`method` must be one of {METHODS}. Received: {method!r}"
            )
        facts = read_facts(folder, kind)
        shape = facts["rows"], facts["dimension"]
        self._codes = Codes(folder, kind, *shape)
        self._norm = facts.get("largest_norm")
        if not isinstance(self._norm, float) or not 0 <= self._norm < np.inf:
            raise InputError(
                f"{folder} has no largest norm in its facts. Build the index "
                "again."
            )
        self._copy = None
        if Bfloat16Copy.is_in(folder):
            self._copy = Bfloat16Copy(folder, *shape)
        self._method = self._choose(kind, method)

    @staticmethod
    def write(
        folder: pathlib.Path,
        descriptors: np.ndarray,
        kind: str,
        bfloat16_copy: bool = True,
    ) -> None:
        """Writes the files.

        Args:
            folder: an empty folder.
            descriptors: float32 [N, D]; may be mapped.
            kind: "float32", "float16" or "int8".
            bfloat16_copy: whether float32 of 20,000 rows and more are also
                written as bfloat16.

        Raises:
            ValueError: descriptors are not finite.
        """
        check_finite(descriptors)
        Codes.write(folder, descriptors, kind)
        rows, dimension = map(int, descriptors.shape)
        if kind == "float32" and bfloat16_copy and rows >= _FEW_ROWS:
            Bfloat16Copy.write(folder, descriptors)
        codes = Codes(folder, kind, rows, dimension)
        norm = max(
            float(np.sqrt(np.einsum("nd,nd->n", part, part).max()))
            for part in _decoded(codes)
        )
        write_facts(
            folder,
            {
                "kind": kind,
                "rows": rows,
                "dimension": dimension,
                # Rounded up, as a bound.
                "largest_norm": norm * (1 + 1e-3),
            },
        )

    def __len__(self) -> int:
        return len(self._codes.array)

    @property
    def dimension(self) -> int:
        """Length of a descriptor, D."""
        return self._codes.array.shape[1]

    @property
    def is_exact(self) -> bool:
        """True."""
        return True

    @property
    def method(self) -> str:
        """How candidates are found: "product" or "faiss"."""
        return self._method

    @property
    def memory_bytes(self) -> int:
        """Bytes of the array that a search reads all of."""
        if self._method == "product" and self._copy is not None:
            return self._copy.nbytes
        return self._codes.nbytes

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Returns the descriptors of rows."""
        return np.ascontiguousarray(self._codes.decode(np.asarray(rows)))

    def release_memory(self) -> None:
        """Lets go of mapped pages; see `Vectors.release_memory`."""
        release_pages(self._codes.array)

    def search(
        self,
        queries: np.ndarray,
        k: int,
        allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Finds the most similar rows; see `Vectors.search`."""
        queries = rescore.check_search(
            queries, k, allowed, len(self), self.dimension
        )
        rows, similarities = rescore.empty_results(len(queries), k)
        ids = None
        if allowed is not None and not allowed.all():
            ids = np.flatnonzero(allowed)
        count = min(k, len(self) if ids is None else len(ids))
        if not count:
            return rows, similarities
        for start in range(0, len(queries), _QUERIES):
            part = slice(start, start + _QUERIES)
            rows[part, :count], similarities[part, :count] = self._search(
                queries[part], count, ids
            )
        return rows, similarities

    def _choose(self, kind: str, method: str) -> str:
        if method == "product" and kind == "float32" and self._copy is None:
            raise ValueError(
                "`method` must be 'faiss' for descriptors without a copy in "
                "bfloat16. Received: 'product'"
            )
        if method != "auto":
            return method
        few = len(self) < _FEW_ROWS
        slow = kind == "float32" and (
            self._copy is None or not product.multiplies_bfloat16()
        )
        return "faiss" if few or slow else "product"

    def _search(
        self, queries: np.ndarray, k: int, ids: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        count = len(self) if ids is None else len(ids)
        lists, errors = None, np.zeros(len(queries))
        if count > 2 * k:
            lists, errors = self._candidates(queries, k, ids)

        def refine(query: int) -> tuple[np.ndarray, np.ndarray]:
            if lists is None or lists[query] is None:
                every = np.arange(len(self)) if ids is None else ids
                return rescore.best_of_all(
                    self._codes.decode, every, queries[query], k
                )
            return rescore.best_of_candidates(
                self._codes.decode,
                *lists[query],
                errors[query],
                queries[query],
                k,
            )

        results = rescore.each_query(refine, len(queries))
        rows, similarities = zip(*results, strict=True)
        return np.stack(rows), np.stack(similarities)

    def _candidates(
        self, queries: np.ndarray, k: int, ids: np.ndarray | None
    ) -> tuple[list[tuple[np.ndarray, np.ndarray] | None], np.ndarray]:
        """Returns candidates and errors; None for queries with too many."""
        few = ids is not None and len(ids) < _FEW_ALLOWED * len(self)
        array = self._codes.array if self._copy is None else self._copy.array
        multiply = None
        if self._method == "product" and not few:
            multiply = product.product_for(array.dtype.name, self.dimension)
        norms = np.linalg.norm(queries.astype(np.float64), axis=1)
        bound = product.rounding_bound(self.dimension) + rescore.ERROR
        errors = norms * self._norm * bound
        if multiply is None:
            return faiss_candidates(
                self._codes, queries, k, ids, errors
            ), errors
        if self._copy is not None:
            rounded = product.from_bfloat16(product.to_bfloat16(queries))
            errors = self._copy.errors(queries, rounded, norms, bound)
            queries = rounded
        found = Candidates(errors, k, max(4096, len(self) // 16, 4 * k))
        scores = multiply.scores(queries, array)
        allowed = None
        if ids is not None:
            allowed = np.zeros(len(self), bool)
            allowed[ids] = True
        for first, part in grouped(scores):
            found.add(first, self._masked(first, part, allowed))
        lists = [
            None if dense else pair
            for pair, dense in zip(found.lists(), found.dense, strict=True)
        ]
        return lists, errors

    def _masked(
        self, first: int, scores: np.ndarray, allowed: np.ndarray | None
    ) -> np.ndarray:
        rows = slice(first, first + scores.shape[1])
        if self._codes.scales is not None:
            scores = scores * self._codes.scales[rows]
        if allowed is not None:
            scores = np.where(allowed[rows], scores, -np.float32(np.inf))
        return scores


def _decoded(codes: Codes) -> Iterator[np.ndarray]:
    step = 4096
    for start in range(0, len(codes.array), step):
        yield codes.decode(slice(start, start + step))
