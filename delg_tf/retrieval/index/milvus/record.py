"""What is known of an index on Milvus besides its images.

It lies in a small collection of the index's name, as one row of JSON; the
images lie in another, which it names. So that replacing a whole index is the
change of one row.
"""

import base64
import dataclasses
import json
from typing import Any

import pyarrow as pa

from delg_tf.common.errors import InputError
from delg_tf.retrieval.index.description import now
from delg_tf.retrieval.index.milvus.database import Database
from delg_tf.retrieval.index.settings import IndexSettings

FORMAT = "delg_tf.milvus_index"
VERSION = 1
_KEY = "index"
_FIELDS = {"key", "value", "vector"}
# Of a text in Milvus.
_MAX_BYTES = 65_535


@dataclasses.dataclass(frozen=True)
class IndexRecord:
    """State of an index.

    Attributes:
        settings: what all images have in common.
        images: name of the collection that they are in.
        created: in UTC, ISO 8601.
        changed: when the last commit was.
        local_store: folder of local features, above that of `images`; "".
        shards: number of its files.
        generation: number of the last commit.
        next_row: rows from here on were never given to an image.
        writing: whether a commit has begun and not ended.
        schema: columns of the metadata.
    """

    settings: IndexSettings
    images: str
    created: str
    changed: str
    local_store: str
    shards: int
    generation: int = 0
    next_row: int = 0
    writing: bool = False
    schema: pa.Schema = dataclasses.field(default_factory=lambda: pa.schema([]))

    def begun(self, schema: pa.Schema) -> "IndexRecord":
        """Returns it as it is while a commit goes on."""
        return dataclasses.replace(self, writing=True, schema=schema)

    def committed(self) -> "IndexRecord":
        """Returns it as it is after a commit."""
        return dataclasses.replace(
            self, writing=False, generation=self.generation + 1, changed=now()
        )


def create_record_collection(database: Database, name: str) -> None:
    """Makes the collection of a record."""
    from pymilvus import DataType

    database.create(
        name,
        [
            {
                "field_name": "key",
                "datatype": DataType.VARCHAR,
                "is_primary": True,
                "max_length": 64,
            },
            {
                "field_name": "value",
                "datatype": DataType.VARCHAR,
                "max_length": _MAX_BYTES,
            },
            # Milvus has no collection without vectors.
            {
                "field_name": "vector",
                "datatype": DataType.FLOAT_VECTOR,
                "dim": 2,
            },
        ],
        [{"field_name": "vector", "index_type": "FLAT", "metric_type": "IP"}],
    )


def write_record(database: Database, name: str, record: IndexRecord) -> None:
    """Makes a record the current one; it lasts when this returns.

    Raises:
        InputError: there are too many columns.
    """
    schema = base64.b64encode(record.schema.serialize()).decode()
    fields = {f.name: getattr(record, f.name) for f in _fields()}
    content = json.dumps(
        {"format": FORMAT, "version": VERSION}
        | fields
        | {
            "settings": dataclasses.asdict(record.settings),
            "schema": schema,
        }
    )
    if len(content) > _MAX_BYTES:
        raise InputError(
            f"The metadata have {len(record.schema)} columns; an index on "
            "Milvus takes some hundreds. Leave some out."
        )
    row = {"key": _KEY, "value": content, "vector": [1.0, 0.0]}
    database.upsert(name, [row])
    database.flush(name)


def read_record(database: Database, name: str) -> IndexRecord:
    """Reads the current record.

    Its collection of images is ready to be searched afterwards.

    Raises:
        InputError: there is no index, or one of another version.
    """
    place = database.place.text
    if not database.has(name):
        raise InputError(
            f"The index {place} does not exist. Build one with "
            "tools/build_index.py."
        )
    content = _content(database, name)
    if content.get("format") != FORMAT:
        raise InputError(
            f"The collection of {place} is no index of images. Choose "
            "another name."
        )
    try:
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']}")
        fields = {field.name: content[field.name] for field in _fields()}
        schema = base64.b64decode(content["schema"])
        fields["settings"] = IndexSettings.from_dict(content["settings"])
        fields["schema"] = pa.ipc.read_schema(pa.py_buffer(schema))
        record = IndexRecord(**fields)
    except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise InputError(
            f"The index {place} holds what this package does not know: "
            f"{error}. Use the release that made it."
        ) from error
    database.load(record.images)
    return record


def _content(database: Database, name: str) -> dict[str, Any]:
    """Returns what the row says; nothing where it is another's collection."""
    if database.fields(name) != _FIELDS:
        return {}
    database.load(name)
    rows = database.get(name, [_KEY], ["value"])
    try:
        content = json.loads(rows[0]["value"]) if rows else {}
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _fields() -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(IndexRecord)
