"""Recognition from images to a prediction file.

Global descriptors of all images, an index of them, a list of the first images
for every query; for verification then local features of the queries and of the
images that are in any list, which of very many are the smaller part; votes.
"""

import dataclasses
import hashlib
import pathlib
import time
from collections.abc import Sequence

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.protocols.data_set import ImageSet
from delg_tf.protocols.extraction_settings import ExtractionSettings
from delg_tf.protocols.feature_cache import CachedFeatures, FeatureCache
from delg_tf.protocols.recognition_data import RecognitionDataSet
from delg_tf.protocols.recognition_index import (
    BuiltIndex,
    build_recognition_index,
)
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.index.choice import open_index
from delg_tf.retrieval.recognition.labels import read_index_labels
from delg_tf.retrieval.recognition.run import Recogniser, recognise_features
from delg_tf.retrieval.recognition.short_lists import search_short_lists
from delg_tf.retrieval.recognition.votes import RecognitionConfig
from delg_tf.retrieval.rerank import RerankConfig
from delg_tf.retrieval.vectors.options import VectorOptions


@dataclasses.dataclass(frozen=True)
class RecognitionOptions:
    """How queries are recognised.

    Attributes:
        votes: how images vote.
        reranking: settings of geometric verification; None for none.
        vectors: how the index keeps global descriptors.
        keep_index_features: see `build_recognition_index`.
    """

    votes: RecognitionConfig = dataclasses.field(
        default_factory=RecognitionConfig
    )
    reranking: RerankConfig | None = None
    vectors: VectorOptions = dataclasses.field(
        default_factory=lambda: VectorOptions("float16")
    )
    keep_index_features: bool = True


@dataclasses.dataclass(frozen=True)
class RecognitionRun:
    """What a run has made.

    Attributes:
        predictions: CSV file.
        query_names: images that were asked for.
        index: of the labelled images.
        recogniser: what has named them; opened, for who wants to see more.
        skipped_queries: (name, reason) of those that could not be read.
        verified_images: labelled images whose local features were extracted.
        seconds: of each stage; of extraction and indexing those of earlier
            runs too, where they are known.
    """

    predictions: pathlib.Path
    query_names: Sequence[str]
    index: BuiltIndex
    recogniser: Recogniser
    skipped_queries: Sequence[tuple[str, str]]
    verified_images: int
    seconds: dict[str, float]


def recognise_data_set(
    data_set: RecognitionDataSet,
    extraction: ExtractionSettings,
    options: RecognitionOptions,
    cache_dir: PathLike,
    predictions: PathLike,
    overwrite: bool = False,
) -> RecognitionRun:
    """Does what is missing of a run, and writes its predictions.

    Args:
        data_set: the images.
        extraction: how they are extracted, local features too if they are to
            be verified.
        options: how they are recognised.
        cache_dir: folder of features, indexes and lists, which are named by
            hashes of what they depend on.
        predictions: CSV file to write.
        overwrite: whether that may exist.

    Raises:
        InputError: images, model or settings are unfit.
    """
    _check(extraction, options)
    cache_dir = pathlib.Path(cache_dir)
    plain = extraction.without_local_features()
    seconds: dict[str, float] = {}
    queries = data_set.query_set()
    cache = FeatureCache(cache_dir, plain)
    features = cache.extract(cache.locate(queries))
    built = build_recognition_index(
        data_set,
        plain,
        cache_dir,
        options.vectors,
        options.keep_index_features,
    )
    seconds |= {f"index_{what}": s for what, s in built.seconds.items()}
    seconds["query_extraction"] = features.description.get("seconds") or 0.0
    names = _left(queries, features)
    index = open_index(built.place)
    recogniser = Recogniser(
        index,
        read_index_labels(data_set.labels_file, index.names),
        FeatureStore(features.place),
        config=options.votes,
        reranking=options.reranking,
    )
    start = time.monotonic()
    lists = search_short_lists(
        _folder_of_lists(built, features, names, recogniser.depth),
        index,
        recogniser.query_store,
        names,
        recogniser.depth,
    )
    seconds["search"] = time.monotonic() - start
    recogniser = dataclasses.replace(recogniser, short_lists=lists)
    verified = 0
    if options.reranking is not None:
        found = [index.names[i] for i in lists.images().tolist()]
        verified = len(found)
        start = time.monotonic()
        query_store, index_store = _local_features(
            data_set, extraction, cache_dir, names, found
        )
        seconds["local_extraction"] = time.monotonic() - start
        recogniser = dataclasses.replace(
            recogniser, query_store=query_store, index_store=index_store
        )
    start = time.monotonic()
    recognise_features(recogniser, predictions, names, overwrite)
    seconds["votes"] = time.monotonic() - start
    return RecognitionRun(
        pathlib.Path(predictions),
        names,
        built,
        recogniser,
        features.skipped,
        verified,
        {what: round(value, 1) for what, value in seconds.items()},
    )


def _check(extraction: ExtractionSettings, options: RecognitionOptions) -> None:
    """Raises InputError unless all features that are needed are extracted."""
    if not extraction.config.use_global_features:
        raise InputError(
            "The extraction has no global features, by which images are "
            "searched: set `use_global_features`."
        )
    if options.reranking and not extraction.config.use_local_features:
        raise InputError(
            "--rerank needs local features: set `use_local_features` in the "
            "extraction."
        )


def _local_features(
    data_set: RecognitionDataSet,
    extraction: ExtractionSettings,
    cache_dir: pathlib.Path,
    names: Sequence[str],
    found: list[str],
) -> tuple[FeatureStore, FeatureStore]:
    """Extracts local features of the queries and of the images found."""
    cache = FeatureCache(cache_dir, _without_global_descriptors(extraction))
    known = set(names)
    queries = data_set.query_set()
    queries = ImageSet(
        queries.name, [item for item in queries.items if item.name in known]
    )
    images = data_set.index_set(found)
    places = [
        cache.extract(cache.locate(part)).place for part in (queries, images)
    ]
    return FeatureStore(places[0]), FeatureStore(places[1])


def _without_global_descriptors(
    extraction: ExtractionSettings,
) -> ExtractionSettings:
    config = type(extraction.config)()
    config.CopyFrom(extraction.config)
    config.use_global_features = False
    return dataclasses.replace(extraction, config=config)


def _left(images: ImageSet, features: CachedFeatures) -> list[str]:
    lost = {name for name, _ in features.skipped}
    return [name for name in images.names if name not in lost]


def _folder_of_lists(
    built: BuiltIndex,
    features: CachedFeatures,
    names: Sequence[str],
    depth: int,
) -> pathlib.Path:
    text = "\n".join([features.folder.name, str(depth), *names])
    key = hashlib.sha256(text.encode("utf-8", "surrogateescape"))
    return built.folder / f"lists-{key.hexdigest()[:16]}"
