"""Whether an index on Milvus is whole."""

from typing import Any

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import readable
from delg_tf.retrieval.descriptors import NORM_TOLERANCE
from delg_tf.retrieval.index.milvus.database import Database
from delg_tf.retrieval.index.milvus.images import FIELDS, from_vector
from delg_tf.retrieval.index.milvus.local_shards import LocalShards
from delg_tf.retrieval.index.milvus.record import IndexRecord
from delg_tf.retrieval.index.milvus.values import name_of

# Bytes of descriptors that are read at a time.
_BLOCK_BYTES = 8 << 20
CUT_OFF = (
    "{place}: a commit was cut off, or goes on. If none does, repeat the "
    "command that was cut off, with --add --replace: images that it had "
    "written are written again."
)


def find_problems(
    database: Database, record: IndexRecord, local: LocalShards
) -> list[str]:
    """Reads all images; returns what is wrong, as messages."""
    problems = []
    if record.writing:
        problems.append(CUT_OFF.format(place=database.place.text))
    rows: set[int] = set()
    count = 0
    window = max(1, min(1000, _BLOCK_BYTES // (4 * record.settings.dimension)))
    for block in database.scan(
        record.images, record.next_row, FIELDS, window=window
    ):
        for row in block:
            problem = _problem(row, record, local)
            if problem:
                problems.append(f"{readable(name_of(row['name']))}: {problem}")
            if row["row"] in rows:
                problems.append(f"Two images have the row {row['row']}.")
            rows.add(row["row"])
        count += len(block)
    total = database.count(record.images)
    if count != total:
        problems.append(
            f"{total} images are in the collection, {count} of them in rows "
            "that were given to images."
        )
    return problems


def _problem(
    row: dict[str, Any], record: IndexRecord, local: LocalShards
) -> str:
    """Returns what is wrong with an image, or ""."""
    vector = from_vector(row["vector"], record.settings)
    norm = float(np.linalg.norm(vector))
    # Half precision rounds each number.
    tolerance = NORM_TOLERANCE if row["described"] else 0
    if not abs(norm - float(row["described"])) <= tolerance:
        return f"its descriptor has the norm {norm}"
    if record.settings.local_format is None:
        return ""
    try:
        encoded = local.encoded(name_of(row["name"]), row["row"])
        if encoded is None:
            return "its local features are missing"
        encoded.decode()
    except InputError as error:
        return str(error)
    return ""
