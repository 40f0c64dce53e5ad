"""Searching a collection of Milvus: order, ties, images without descriptor."""

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.retrieval.descriptors import LEAST_SIMILARITY
from delg_tf.retrieval.index.hits import SearchHits, best_hits
from delg_tf.retrieval.index.milvus.database import MAX_RESULTS, Database
from delg_tf.retrieval.index.milvus.images import kind_of
from delg_tf.retrieval.index.milvus.record import IndexRecord
from delg_tf.retrieval.index.milvus.values import name_of
from delg_tf.retrieval.vectors.base import NO_ROW, NO_SIMILARITY

_FIELDS = ("name", "row")
_LITE_LISTS = 128
# Similarities as near as this count as equal: Milvus sums them up in another
# order from one segment to the next.
_EQUAL = 5e-7


class Ranking:
    """Searches among the images that pass an expression."""

    def __init__(self, database: Database, record: IndexRecord, where: str):
        """Takes the expression, "" for all images."""
        self._database = database
        self._record = record
        self._where = where
        # Names of the rows that were met.
        self._names: dict[int, str] = {}

    def hits(
        self,
        queries: np.ndarray,
        k: int,
        listed: tuple[tuple[str, ...], np.ndarray] | None,
    ) -> SearchHits:
        """Returns the k best; see `SearchableIndex.search`.

        Args:
            queries: float32 [Q, D], checked.
            k: 1 or more.
            listed: names of all images and their rows, ascending; None if
                they are not known, then ids count the images that are found.
        """
        k = min(k, self._database.count(self._record.images, self._where))
        known = queries.any(axis=1)
        rows = np.full((len(queries), k), NO_ROW, np.int64)
        similarities = np.full((len(queries), k), NO_SIMILARITY, np.float32)
        if k and known.any():
            rows[known], similarities[known] = self._search(queries[known], k)
        if k and not known.all():
            first = self._first("", k)
            rows[~known, : len(first)] = first
            similarities[~known, : len(first)] = LEAST_SIMILARITY
        return self._numbered(rows, similarities, listed)

    def _search(
        self, queries: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        found, values = self._described(queries, k)
        if (found[:, :k] == NO_ROW).any() or found.shape[1] < k:
            first = self._first("described == false", k)
            shape = (len(queries), len(first))
            least = np.full(shape, LEAST_SIMILARITY, np.float32)
            found = np.hstack([found, np.broadcast_to(first, shape)])
            values = np.hstack([values, least])
        gap = ((0, 0), (0, max(0, k - found.shape[1])))
        found = np.pad(found, gap, constant_values=NO_ROW)
        values = np.pad(values, gap, constant_values=NO_SIMILARITY)
        return best_hits(found, values, k)

    def _described(
        self, queries: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns rows and similarities of images with a descriptor.

        Of equal ones at the cut Milvus returns any; so it is asked for more
        until the cut is past the last equal one.
        """
        where = self._and("described == true")
        total = self._database.count(self._record.images, where)
        if not total:
            shape = (len(queries), 0)
            return np.zeros(shape, np.int64), np.zeros(shape, np.float32)
        if min(k, total) > MAX_RESULTS:
            raise InputError(
                f"Milvus returns at most {MAX_RESULTS:,} images of a query; "
                f"{min(k, total):,} are asked for. Ask for fewer "
                "(--num_results)."
            )
        depth = min(k + 1, total, MAX_RESULTS)
        while True:
            rows, values = self._ask(queries, depth, where)
            if depth in (total, MAX_RESULTS) or depth <= k:
                return rows, values
            # Where fewer are found there is no cut.
            whole = rows[:, -1] != NO_ROW
            if (values[whole, k - 1] - values[whole, -1] > _EQUAL).all():
                return rows, values
            depth = min(2 * depth, total, MAX_RESULTS)

    def _ask(
        self, queries: np.ndarray, depth: int, where: str
    ) -> tuple[np.ndarray, np.ndarray]:
        parameters = dict(kind_of(self._record.settings).search)
        if "ef" in parameters:
            parameters["ef"] = max(parameters["ef"], depth)
        if "nprobe" in parameters and self._database.place.is_lite:
            # Milvus Lite makes its own number of lists, whatever is asked for.
            parameters["nprobe"] = _LITE_LISTS
        answers = self._database.search(
            self._record.images, queries, depth, where, parameters, _FIELDS
        )
        rows = np.full((len(queries), depth), NO_ROW, np.int64)
        values = np.full(rows.shape, NO_SIMILARITY, np.float32)
        for place, answer in enumerate(answers):
            first = np.inf
            for number, (fields, similarity) in enumerate(answer):
                first = similarity if first - similarity > _EQUAL else first
                rows[place, number] = fields["row"]
                values[place, number] = first
                self._names[fields["row"]] = fields["name"]
        return rows, values

    def _first(self, condition: str, k: int) -> list[int]:
        """Returns the first rows that pass."""
        found: list[int] = []
        for block in self._database.scan(
            self._record.images,
            self._record.next_row,
            _FIELDS,
            self._and(condition),
        ):
            for fields in block:
                self._names[fields["row"]] = fields["name"]
                found.append(fields["row"])
            if len(found) >= k:
                break
        return found[:k]

    def _and(self, condition: str) -> str:
        parts = [part for part in (condition, self._where) if part]
        return " and ".join(f"({part})" for part in parts)

    def _numbered(
        self,
        rows: np.ndarray,
        similarities: np.ndarray,
        listed: tuple[tuple[str, ...], np.ndarray] | None,
    ) -> SearchHits:
        """Returns hits with ids instead of rows."""
        if listed is None:
            known = np.unique(rows[rows != NO_ROW])
            names = tuple(name_of(self._names[row]) for row in known.tolist())
        else:
            names, known = listed
        # Images that were added since the names were read are left out.
        there = np.isin(rows, known)
        ids = np.where(there, np.searchsorted(known, rows), NO_ROW)
        similarities = np.where(there, similarities, NO_SIMILARITY)
        ids, similarities = best_hits(ids, similarities, ids.shape[1])
        return SearchHits(names, ids, similarities.astype(np.float32))
