"""Similarities of a block of descriptors, to the bit those of a search.

A similarity is the inner product in float64, rounded to float32, of each row
by itself (`vectors/rescore.py`): so ties are ties whatever a row is compared
with. A matrix product in float64 sums in another order and differs from that
by at most 2 g |q| |x|, with g some 1e-13 (`vectors.product.rounding_bound`).
Where both ends of that interval round to the same float32, that is the
similarity; the few others, three in 10,000 of 2,048 numbers, are computed by
themselves.

Products in bfloat16 or float32, which a search for the best 100 starts from,
do not help here: they would leave a quarter (float32) or nine tenths
(bfloat16) of all rows in question for one or other labelled image of a query
(descriptors of `experiments/benchmarks/distractors_data.py`).
"""

import numpy as np

from delg_tf.retrieval.descriptors import LEAST_SIMILARITY
from delg_tf.retrieval.vectors import product, rescore

# From bounds for sums in float32 to those for sums in float64.
_FLOAT64 = 2.0**-29


class NotFiniteError(ValueError):
    """A descriptor has values that are not finite; `row` is which."""

    def __init__(self, row: int):
        super().__init__(f"`block` must be finite. Received: row {row} is not")
        self.row = row


class Scores:
    """Compares Q queries with blocks of descriptors."""

    def __init__(self, queries: np.ndarray):
        """Takes the queries.

        Args:
            queries: float32 [Q, D], none of them zeros.
        """
        self._queries = queries
        self._wide = queries.astype(np.float64)
        bound = 4 * _FLOAT64 * product.rounding_bound(queries.shape[1])
        self._errors = bound * np.linalg.norm(self._wide, axis=1)[:, None]

    def of_block(self, block: np.ndarray) -> np.ndarray:
        """Returns float32 [Q, M], the similarities to M descriptors.

        Args:
            block: float32 [M, D]; rows of zeros are images without a
                descriptor, whose similarity is `LEAST_SIMILARITY`.

        Raises:
            NotFiniteError: a row is not finite.
        """
        wide = block.astype(np.float64)
        norms = np.sqrt(np.einsum("nd,nd->n", wide, wide))
        if not np.isfinite(norms).all():
            raise NotFiniteError(int(np.argmin(np.isfinite(norms))))
        products = self._wide @ wide.T
        errors = self._errors * norms.max()
        found = (products - errors).astype(np.float32)
        unsure = found != (products + errors).astype(np.float32)
        for query in np.flatnonzero(unsure.any(axis=1)):
            rows = np.flatnonzero(unsure[query])
            found[query, rows] = rescore.similarities(
                block.__getitem__, rows, self._queries[query]
            )
        found[:, norms == 0] = LEAST_SIMILARITY
        return found

    def of_rows(self, query: int, rows: np.ndarray) -> np.ndarray:
        """Returns float32 [M], the similarities of one query to M rows.

        Args:
            query: which of the queries.
            rows: float32 [M, D].
        """
        found = rescore.similarities(
            rows.__getitem__, np.arange(len(rows)), self._queries[query]
        )
        found[~rows.any(axis=1)] = LEAST_SIMILARITY
        return found
