"""An index on Milvus, read."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from delg_tf.common.errors import InputError
from delg_tf.common.files import readable
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.retrieval.descriptors import check_descriptors
from delg_tf.retrieval.index.base import ImageIndex, Where
from delg_tf.retrieval.index.description import IndexDescription
from delg_tf.retrieval.index.filter_mask import filter_mask
from delg_tf.retrieval.index.filter_text import parse_filter
from delg_tf.retrieval.index.filters import NAME_COLUMN, Filter
from delg_tf.retrieval.index.hits import SearchHits
from delg_tf.retrieval.index.milvus.checking import find_problems
from delg_tf.retrieval.index.milvus.database import BATCH, Database
from delg_tf.retrieval.index.milvus.expressions import expression_of
from delg_tf.retrieval.index.milvus.images import from_vector, kind_of
from delg_tf.retrieval.index.milvus.local_shards import LocalShards, size_of
from delg_tf.retrieval.index.milvus.place import MilvusPlace
from delg_tf.retrieval.index.milvus.ranking import Ranking
from delg_tf.retrieval.index.milvus.record import IndexRecord, read_record
from delg_tf.retrieval.index.milvus.values import from_json, key_of, name_of
from delg_tf.retrieval.index.settings import IndexSettings

# Images that are named one by one where Milvus cannot say a condition.
MAX_KEYS = 100_000


class MilvusIndex(ImageIndex):
    """Reads an index that `MilvusWriter` writes, also while it does.

    Milvus answers from what is there now: of images that are committed after
    the opening some may be found before `refresh`. Names are read when they
    are first asked for, and kept until `refresh`; before that, `search` knows
    only the names that it finds.
    """

    def __init__(self, place: MilvusPlace):
        """Connects.

        Raises:
            InputError: pymilvus is missing, nobody answers, or there is no
                index.
        """
        self.place = place.text
        self._database = Database(place)
        self._take(read_record(self._database, place.collection))

    def _take(self, record: IndexRecord) -> None:
        self._record = record
        # (names, their rows, ascending), once they were asked for.
        self._listed: tuple[tuple[str, ...], np.ndarray] | None = None
        self._folder = local_folder(self._database.place, record)
        self._local = LocalShards(self._folder, record.shards)

    @property
    def settings(self) -> IndexSettings:
        """What all images have in common."""
        return self._record.settings

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the images; an id is a position here."""
        return self._list()[0]

    def _list(self) -> tuple[tuple[str, ...], np.ndarray]:
        if self._listed is None:
            found = self._rows("", ("name", "row"))
            names = tuple(name_of(row["name"]) for row in found)
            rows = np.array([row["row"] for row in found], np.int64)
            self._listed = names, rows
        return self._listed

    def _rows(self, where: str, fields: Sequence[str]) -> list[dict[str, Any]]:
        record = self._record
        blocks = self._database.scan(
            record.images, record.next_row, fields, where
        )
        return [row for block in blocks for row in block]

    def __len__(self) -> int:
        if self._listed is not None:
            return len(self._listed[0])
        return self._database.count(self._record.images)

    def __contains__(self, name: str) -> bool:
        return bool(self._found([name], ("name",)))

    def matching(self, where: Where = None) -> np.ndarray:
        """Returns ids; see `SearchableIndex.matching`."""
        _, rows = self._list()
        if where is None:
            return np.arange(len(rows))
        found = self._rows(self._expression(where), ("row",))
        passing = np.array([row["row"] for row in found], np.int64)
        return np.flatnonzero(np.isin(rows, passing))

    def search(
        self, queries: np.ndarray, k: int, where: Where = None
    ) -> SearchHits:
        """Finds the most similar images; see `SearchableIndex.search`.

        Raises:
            InputError: also where k is beyond what Milvus answers, 16,384.
        """
        if k < 1:
            raise ValueError(f"`k` must be 1 or more. Received: {k}")
        if not len(self):
            raise InputError(f"The index {self.place} is empty. Add images.")
        queries = np.asarray(queries)
        if queries.ndim == 2:
            self.settings.check_dimension(queries.shape[1], "The queries")
        queries = check_descriptors("queries", queries)
        ranking = Ranking(self._database, self._record, self._expression(where))
        return ranking.hits(queries, k, self._listed)

    def _expression(self, where: Where) -> str:
        """Returns a filter in Milvus' language; "" for none."""
        if where is None:
            return ""
        condition = parse_filter(where) if isinstance(where, str) else where
        return expression_of(condition, self._record.schema, self._keys_of)

    def _keys_of(self, condition: Filter, among: str) -> list[str]:
        """Evaluates a condition here that Milvus cannot say."""
        schema, keys = self._record.schema, []
        blocks = self._database.scan(
            self._record.images,
            self._record.next_row,
            ("name", "row", "meta"),
            among,
        )
        for block in blocks:
            here = [row["name"] for row in block]
            table = from_json([row["meta"] for row in block], schema)
            table = table.add_column(0, NAME_COLUMN, pa.array(here))
            passing = filter_mask(condition, table)
            keys += [here[i] for i in np.flatnonzero(passing)]
            if len(keys) > MAX_KEYS:
                raise InputError(
                    f"More than {MAX_KEYS:,} images pass a part of the filter "
                    "that Milvus cannot evaluate (near, or a text with %, _ "
                    "or other signs in it). Narrow it."
                )
        return keys

    def _found(
        self, names: Sequence[str], fields: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """Returns rows of images by name, of those that are there."""
        try:
            keys = [key_of(name) for name in names]
        except InputError:
            # No image has such a name.
            return {}
        rows = self._database.get(
            self._record.images, keys, ["name", "row", *fields]
        )
        return {name_of(row["name"]): row for row in rows}

    def _get(self, name: str, *fields: str) -> dict[str, Any]:
        row = self._found([name], fields).get(name)
        if row is None:
            raise InputError(f"The index has no image {readable(name)!r}.")
        return row

    def local(self, name: str) -> EncodedFeatures:
        """Returns local features; see `ImageIndex.local`."""
        row = self._get(name)["row"]
        encoded = None
        if self.settings.local_format is not None:
            encoded = self._local.encoded(name, row)
        if encoded is None:
            raise InputError(f"The index keeps no local features of {name}.")
        return encoded

    def descriptors(self, names: Sequence[str]) -> np.ndarray:
        """Returns descriptors; see `ImageIndex.descriptors`."""
        found = np.zeros((len(names), self.dimension), np.float32)
        for start in range(0, len(names), BATCH):
            block = names[start : start + BATCH]
            rows = self._found(block, ("described", "vector"))
            for place, name in enumerate(block, start):
                row = rows.get(name) or self._get(name, "described", "vector")
                if row["described"]:
                    found[place] = from_vector(row["vector"], self.settings)
        return found

    def metadata(self, name: str) -> dict[str, Any]:
        """Returns metadata; see `ImageIndex.metadata`."""
        row = self._get(name, "meta")
        (values,) = from_json([row["meta"]], self._record.schema).to_pylist()
        return values

    @property
    def metadata_schema(self) -> pa.Schema:
        """Columns of the metadata."""
        return self._record.schema

    def describe(self) -> IndexDescription:
        """Returns figures; see `ImageIndex.describe`.

        What Milvus takes is not known to its clients: the bytes of
        descriptors are those of the numbers, on one machine.
        """
        record, database = self._record, self._database
        kind = kind_of(record.settings)
        images = database.count(record.images)
        numbers = images * record.settings.dimension
        sizes = {"global descriptors, at least": int(numbers * kind.bytes)}
        if record.settings.local_format is not None:
            sizes["local features"] = size_of(self._folder, record.shards)
        return IndexDescription(
            place=self.place,
            settings=record.settings,
            images=images,
            without_descriptor=database.count(
                record.images, "described == false"
            ),
            generation=record.generation,
            segments=int(images > 0),
            deleted=0,
            columns={f.name: str(f.type) for f in record.schema},
            bytes=sizes,
            memory_bytes=int(numbers * kind.bytes),
            is_exact=kind.is_exact,
            created=record.created,
            changed=record.changed,
        )

    def refresh(self) -> bool:
        """Takes up what was committed; see `ImageIndex.refresh`."""
        name = self._database.place.collection
        record = read_record(self._database, name)
        before, self._record = self._record, record
        changed = (record.images, record.generation) != (
            before.images,
            before.generation,
        )
        if changed:
            self._take(record)
        return changed

    def verify(self) -> list[str]:
        """Reads everything; see `ImageIndex.verify`."""
        self.refresh()
        return find_problems(self._database, self._record, self._local)


def local_folder(place: MilvusPlace, record: IndexRecord) -> pathlib.Path:
    """Returns where an index's local features are, if it keeps any."""
    return pathlib.Path(place.local_store or record.local_store, record.images)
