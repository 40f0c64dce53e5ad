"""Milvus, as far as an index needs it; its errors in plain words."""

import contextlib
import logging
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.retrieval.index.milvus.place import TOKEN_VARIABLE, MilvusPlace

# Milvus returns no more of a query or search.
MAX_RESULTS = 16_384
# Rows that a scan asks for at a time.
WINDOW = 8_192
# Rows sent or named at a time.
BATCH = 1_000
_CONNECT_S = 10
# pymilvus tries again for so long before it gives up.
_TIMEOUT_S = 120


class Database:
    """A connection. Safe to use by several threads."""

    def __init__(self, place: MilvusPlace, create: bool = False):
        """Connects.

        Args:
            place: where.
            create: whether a file of Milvus Lite may be made.

        Raises:
            InputError: pymilvus is missing, nobody answers, the file does not
                exist, or another process has it open.
        """
        self.place = place
        if place.is_lite and not create and not os.path.exists(place.uri):
            raise InputError(
                f"The index {place.text} does not exist: there is no "
                f"{place.uri}."
            )
        client = _client_class(place)
        if place.is_lite:
            # pymilvus wants the folder that the file is in.
            pathlib.Path(place.uri).absolute().parent.mkdir(
                parents=True, exist_ok=True
            )
        try:
            self._client = client(
                uri=place.uri,
                token=os.environ.get(TOKEN_VARIABLE, ""),
                db_name=place.database,
                timeout=_CONNECT_S,
            )
        except Exception as error:  # of pymilvus, gRPC or Milvus Lite
            reason = (
                "Another process may have the file open; Milvus Lite takes one "
                "at a time."
                if place.is_lite
                else f"Is the address right, and {TOKEN_VARIABLE}?"
            )
            raise InputError(
                f"{place.text} cannot be opened: {error}. {reason}"
            ) from error

    @contextlib.contextmanager
    def _plain_errors(self) -> Iterator[None]:
        from pymilvus.exceptions import MilvusException

        try:
            yield
        except MilvusException as error:
            raise InputError(
                f"Milvus refused, for {self.place.text}: {error.message}"
            ) from error

    def has(self, collection: str) -> bool:
        """Whether there is a collection."""
        with self._plain_errors():
            return self._client.has_collection(collection, timeout=_TIMEOUT_S)

    def create(
        self,
        collection: str,
        fields: Sequence[dict[str, Any]],
        indexes: Sequence[dict[str, Any]],
    ) -> None:
        """Makes a collection, ready for use.

        Args:
            collection: its name, free.
            fields: arguments of pymilvus' `add_field`.
            indexes: arguments of its `add_index`.
        """
        with self._plain_errors():
            schema = self._client.create_schema(
                auto_id=False, enable_dynamic_field=False
            )
            for field in fields:
                schema.add_field(**field)
            parameters = self._client.prepare_index_params()
            for index in indexes:
                parameters.add_index(**index)
            self._client.create_collection(
                collection,
                schema=schema,
                index_params=parameters,
                consistency_level="Strong",
                timeout=_TIMEOUT_S,
            )

    def fields(self, collection: str) -> set[str]:
        """Returns the names of a collection's fields."""
        with self._plain_errors():
            found = self._client.describe_collection(
                collection, timeout=_TIMEOUT_S
            )
        return {field["name"] for field in found["fields"]}

    def load(self, collection: str) -> None:
        """Has a collection ready to be searched, if it is not."""
        with self._plain_errors():
            self._client.load_collection(collection, timeout=5 * _TIMEOUT_S)

    def drop(self, collection: str) -> None:
        """Removes a collection, if it is there."""
        with self._plain_errors():
            self._client.drop_collection(collection, timeout=_TIMEOUT_S)

    def upsert(self, collection: str, rows: Sequence[dict[str, Any]]) -> None:
        """Adds rows, or replaces those of the same key."""
        with self._plain_errors():
            self._client.upsert(collection, list(rows), timeout=_TIMEOUT_S)

    def delete(self, collection: str, keys: Sequence[str]) -> None:
        """Removes rows; keys that are not there do not matter."""
        with self._plain_errors():
            for start in range(0, len(keys), BATCH):
                self._client.delete(
                    collection,
                    ids=list(keys[start : start + BATCH]),
                    timeout=_TIMEOUT_S,
                )

    def flush(self, collection: str) -> None:
        """Returns when what was written is on Milvus' disk."""
        with self._plain_errors():
            self._client.flush(collection, timeout=5 * _TIMEOUT_S)

    def compact(self, collection: str) -> None:
        """Asks Milvus to merge segments and drop what was removed."""
        with self._plain_errors():
            self._client.compact(collection, timeout=_TIMEOUT_S)

    def count(self, collection: str, condition: str = "") -> int:
        """Returns how many rows pass."""
        (answer,) = self._query(collection, condition, ["count(*)"], None)
        return int(answer["count(*)"])

    def get(
        self, collection: str, keys: Sequence[str], fields: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Returns rows by their keys, in any order; those that are there."""
        found = []
        with self._plain_errors():
            for start in range(0, len(keys), BATCH):
                found += self._client.get(
                    collection,
                    ids=list(keys[start : start + BATCH]),
                    output_fields=list(fields),
                    consistency_level=self.place.consistency,
                    timeout=_TIMEOUT_S,
                )
        return found

    def scan(
        self,
        collection: str,
        end: int,
        fields: Sequence[str],
        condition: str = "",
        window: int = WINDOW,
    ) -> Iterator[list[dict[str, Any]]]:
        """Yields rows that pass, in blocks, by their field "row".

        Milvus has no order of its own, and pymilvus' iterator none that holds
        for any text as a key; so this asks for one range after the other.

        Args:
            collection: with a field "row", int64 from 0.
            end: no row is as large.
            fields: to return, "row" among them.
            condition: that rows pass; "" for all.
            window: rows of a range, `MAX_RESULTS` at most.
        """
        for start in range(0, end, window):
            here = f"row >= {start} and row < {start + window}"
            if condition:
                here = f"({here}) and ({condition})"
            rows = self._query(collection, here, fields, window)
            if rows:
                yield sorted(rows, key=lambda row: row["row"])

    def search(
        self,
        collection: str,
        queries: np.ndarray,
        limit: int,
        condition: str,
        parameters: dict[str, Any],
        fields: Sequence[str],
    ) -> list[list[tuple[dict[str, Any], float]]]:
        """Returns the most similar rows of each query, with similarities.

        Args:
            collection: with a field "vector".
            queries: float32 [Q, D].
            limit: rows of each query, `MAX_RESULTS` at most.
            condition: that rows pass.
            parameters: of the kind of index.
            fields: to return.
        """
        found = []
        step = max(1, min(BATCH, 8 * MAX_RESULTS // limit))
        with self._plain_errors():
            for start in range(0, len(queries), step):
                answers = self._client.search(
                    collection,
                    data=list(queries[start : start + step]),
                    anns_field="vector",
                    limit=limit,
                    filter=condition,
                    output_fields=list(fields),
                    search_params={"metric_type": "IP", "params": parameters},
                    consistency_level=self.place.consistency,
                    timeout=_TIMEOUT_S,
                )
                found += [
                    [(dict(hit["entity"]), hit["distance"]) for hit in answer]
                    for answer in answers
                ]
        return found

    def _query(
        self,
        collection: str,
        condition: str,
        fields: Sequence[str],
        limit: int | None,
    ) -> list[dict[str, Any]]:
        with self._plain_errors():
            return list(
                self._client.query(
                    collection,
                    filter=condition,
                    output_fields=list(fields),
                    consistency_level=self.place.consistency,
                    timeout=_TIMEOUT_S,
                    **({} if limit is None else {"limit": limit}),
                )
            )


def _client_class(place: MilvusPlace) -> type:
    """Returns pymilvus' client, which is imported only now."""
    try:
        from pymilvus import MilvusClient

        if place.is_lite:
            import milvus_lite  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"{place.text} needs {error.name}: pip install 'delg-tf[milvus]'"
        ) from error
    # What goes wrong is told once, by `InputError`.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    return MilvusClient
