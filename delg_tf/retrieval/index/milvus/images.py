"""The collection that images are in: its fields, its kind of vectors."""

import dataclasses
from typing import Any

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.retrieval.index.milvus.database import Database
from delg_tf.retrieval.index.milvus.values import MAX_NAME
from delg_tf.retrieval.index.settings import IndexSettings
from delg_tf.retrieval.vectors.options import VectorOptions

# Fields of an image. "row" counts in the order of adding: ids are places in
# the order of the rows.
FIELDS = ("name", "row", "described", "meta", "vector")


@dataclasses.dataclass(frozen=True)
class MilvusKind:
    """What a kind of vectors is on Milvus.

    Attributes:
        field: type of the field, a name of pymilvus' `DataType`.
        index: type of the index.
        build: its parameters.
        search: parameters of a search.
        is_exact: whether a search finds the best of what is stored.
        bytes: of a number of a descriptor, where it is searched.
    """

    field: str
    index: str
    build: dict[str, int]
    search: dict[str, int]
    is_exact: bool
    bytes: float


def kind_of(settings: IndexSettings) -> MilvusKind:
    """Returns what the index's kind of vectors is on Milvus."""
    options, dimension = settings.vectors, settings.dimension
    match options.kind:
        case "float32":
            return MilvusKind("FLOAT_VECTOR", "FLAT", {}, {}, True, 4)
        case "float16":
            return MilvusKind("FLOAT16_VECTOR", "FLAT", {}, {}, True, 2)
        case "int8":
            # One list, which each search reads: all 8-bit codes.
            return MilvusKind(
                "FLOAT_VECTOR", "IVF_SQ8", {"nlist": 1}, {"nprobe": 1}, True, 1
            )
        case "hnsw":
            links = _option(options, "neighbours", 32)
            build = {
                "M": links,
                "efConstruction": _option(options, "ef_construction", 100),
            }
            search = {"ef": _option(options, "ef_search", 200)}
            size = 4 + 8 * links / dimension
            return MilvusKind(
                "FLOAT_VECTOR", "HNSW", build, search, False, size
            )
        case "ivfpq":
            parts = _option(options, "code_bytes", 0) or _parts(dimension)
            build = {
                "nlist": _option(options, "lists", 0) or 1024,
                "m": parts,
                "nbits": 8,
            }
            search = {"nprobe": _option(options, "probes", 0) or 32}
            return MilvusKind(
                "FLOAT_VECTOR",
                "IVF_PQ",
                build,
                search,
                False,
                parts / dimension,
            )
    raise InputError(f"Milvus has no kind {options.kind!r} of vectors.")


def _option(options: VectorOptions, name: str, default: int) -> int:
    return getattr(options, name, default)


def _parts(dimension: int) -> int:
    """Returns how many bytes a code of IVF-PQ has: 8 numbers a byte."""
    return max(p for p in (1, dimension // 8) if p and dimension % p == 0)


def create_images(
    database: Database, name: str, settings: IndexSettings
) -> None:
    """Makes the collection.

    Raises:
        InputError: Milvus cannot search such vectors.
    """
    from pymilvus import DataType

    kind = kind_of(settings)
    if database.place.is_lite and (
        kind.field != "FLOAT_VECTOR" or kind.index == "IVF_PQ"
    ):
        raise InputError(
            f"Milvus Lite has no {settings.vectors.kind} vectors. Choose "
            "--kind=float32, int8 or hnsw, or a server."
        )
    fields = [
        {
            "field_name": "name",
            "datatype": DataType.VARCHAR,
            "is_primary": True,
            "max_length": MAX_NAME,
        },
        {"field_name": "row", "datatype": DataType.INT64},
        {"field_name": "described", "datatype": DataType.BOOL},
        {"field_name": "meta", "datatype": DataType.JSON},
        {
            "field_name": "vector",
            "datatype": getattr(DataType, kind.field),
            "dim": settings.dimension,
        },
    ]
    indexes = [
        {
            "field_name": "vector",
            "index_type": kind.index,
            "metric_type": "IP",
            "params": kind.build,
        }
    ]
    if not database.place.is_lite:
        # Scans ask for ranges of rows.
        indexes.append({"field_name": "row", "index_type": "STL_SORT"})
    database.create(name, fields, indexes)


def to_vector(descriptor: np.ndarray, settings: IndexSettings) -> np.ndarray:
    """Returns a descriptor as pymilvus takes it."""
    if kind_of(settings).field == "FLOAT16_VECTOR":
        return descriptor.astype(np.float16)
    return descriptor.astype(np.float32)


def from_vector(value: Any, settings: IndexSettings) -> np.ndarray:
    """Reverts `to_vector`, of what pymilvus returns."""
    if kind_of(settings).field == "FLOAT16_VECTOR":
        data = value[0] if isinstance(value, list) else value
        return np.frombuffer(data, np.float16).astype(np.float32)
    return np.asarray(value, np.float32)
