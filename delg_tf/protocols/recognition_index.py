"""The index of a recognition data set, made part by part.

A folder `NAME_index-HASH` of the cache holds the index and `parts.json`, which
parts of the images are in it. The hash is of the model, the configuration,
the list of images and the kind of index, so that other settings make another
one; a run that was cut off goes on.
"""

import dataclasses
import hashlib
import pathlib
import shutil
import time
from typing import Any

from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import read_json, write_json
from delg_tf.extraction.identity import extraction_identity
from delg_tf.protocols.data_set import ImageSet
from delg_tf.protocols.extraction_settings import ExtractionSettings
from delg_tf.protocols.feature_cache import FeatureCache
from delg_tf.protocols.recognition_data import RecognitionDataSet
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.index.choice import index_exists, open_index
from delg_tf.retrieval.index.importing import ImportOptions, import_features
from delg_tf.retrieval.vectors.options import VectorOptions

_GIB = 2**30
_NUMBER_BYTES = {"float32": 4, "float16": 2, "int8": 1, "hnsw": 4, "none": 0}


@dataclasses.dataclass(frozen=True)
class BuiltIndex:
    """An index of all labelled images.

    Attributes:
        folder: of the cache.
        place: of the index, for `open_index`.
        skipped: (name, reason) of images that are not in it.
        seconds: "extraction" and "indexing", of all runs together; without
            parts whose extraction was cut off.
    """

    folder: pathlib.Path
    place: pathlib.Path
    skipped: list[tuple[str, str]]
    seconds: dict[str, float]


def build_recognition_index(
    data_set: RecognitionDataSet,
    extraction: ExtractionSettings,
    cache_dir: pathlib.Path,
    vectors: VectorOptions,
    keep_features: bool = True,
) -> BuiltIndex:
    """Extracts and indexes what is not in the index yet.

    Args:
        data_set: the images.
        extraction: of global descriptors alone.
        cache_dir: of features and indexes.
        vectors: how the index keeps descriptors.
        keep_features: whether the descriptors stay in the cache beside those
            in the index; another kind of index can then be made of them.

    Raises:
        InputError: images or the model are unfit, or the disk too small.
    """
    key = _key(data_set, extraction, vectors)
    folder = cache_dir / f"{data_set.name}_index-{key}"
    place, state = folder / "index", folder / "parts.json"
    parts: dict[str, Any] = {}
    if index_exists(place) and state.is_file():
        parts = read_json(state)["parts"]
    cache = FeatureCache(cache_dir, extraction)
    for part in data_set.index_parts():
        if part.name in parts:
            logging.info("%s is in the index.", part.name)
            continue
        if parts:
            _check_disk(data_set, place, parts, vectors, keep_features)
        parts[part.name] = _add(part, cache, place, vectors, keep_features)
        write_json(state, {"parts": parts})
    return BuiltIndex(
        folder,
        place,
        [tuple(one) for part in parts.values() for one in part["skipped"]],
        {
            what: round(
                sum(part["seconds"][what] for part in parts.values()), 1
            )
            for what in ("extraction", "indexing")
        },
    )


def disk_bytes(
    images: int, dimension: int, vectors: VectorOptions, keep_features: bool
) -> int:
    """Returns what an index of so many images takes at most while it grows.

    A number takes 2 bytes in the features, if they are kept, and those of its
    kind in the index. While parts of the index are merged, which in the end
    may be all of it, there are their descriptors in float32 and the new part
    beside the old ones. 4,132,914 images of 2,048 numbers in int8: 16.9 GB of
    features, 8.5 GB of index, 42.3 GB more while merging.

    Args:
        images: number of them.
        dimension: numbers a descriptor.
        vectors: kind of index.
        keep_features: see `build_recognition_index`.
    """
    kind = vectors.copy if vectors.kind == "ivfpq" else vectors.kind
    number = _NUMBER_BYTES[kind]
    if vectors.kind == "float32" and vectors.bfloat16_copy:
        number += 2
    return images * dimension * (2 * keep_features + number + 4 + number)


def _add(
    part: ImageSet,
    cache: FeatureCache,
    place: pathlib.Path,
    vectors: VectorOptions,
    keep_features: bool,
) -> dict[str, Any]:
    """Extracts and indexes a part; returns its entry in `parts.json`."""
    features = cache.extract(cache.locate(part))
    start = time.monotonic()
    lost = {name for name, _ in features.skipped}
    names = [name for name in part.names if name not in lost]
    # What is in the index of a part that was cut off stays.
    options = ImportOptions(vectors, add=True)
    summary = import_features(
        place, FeatureStore(features.place), names, options
    )
    if not keep_features:
        shutil.rmtree(features.folder)
    return {
        "images": len(names) - len(summary.skipped),
        "skipped": [*features.skipped, *summary.skipped],
        "seconds": {
            "extraction": features.description.get("seconds") or 0.0,
            "indexing": round(time.monotonic() - start, 1),
        },
    }


def _check_disk(
    data_set: RecognitionDataSet,
    place: pathlib.Path,
    parts: dict[str, Any],
    vectors: VectorOptions,
    keep_features: bool,
) -> None:
    """Tells early, once the length of descriptors is known."""
    dimension = open_index(place).dimension
    every = disk_bytes(len(data_set.index), dimension, vectors, keep_features)
    done = sum(part["images"] for part in parts.values())
    # What merging takes is free again between merges.
    needed = every * (1 - done / (2 * len(data_set.index)))
    free = shutil.disk_usage(place).free
    if free < needed:
        raise InputError(
            f"{place} has {free / _GIB:.0f} GiB of free space; "
            f"{len(data_set.index)} images of {dimension} numbers need up to "
            f"{needed / _GIB:.0f} GiB more as {vectors.kind}. Free some, or "
            "choose --kind=int8 or --nokeep_index_features; what is done "
            "stays."
        )


def _key(
    data_set: RecognitionDataSet,
    extraction: ExtractionSettings,
    vectors: VectorOptions,
) -> str:
    texts = (
        extraction_identity(extraction.config),
        extraction.runtime,
        extraction.precision,
        sorted(extraction.formats.items()),
        vectors,
    )
    digest = hashlib.sha256(repr(texts).encode())
    for array in (data_set.index.ids, data_set.index.sizes):
        digest.update(f"{array.dtype}{len(array)}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]
