"""Photographs as queries: extraction, search, geometric verification."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.data.image_limits import MAX_PIXELS
from delg_tf.extraction.identity import extraction_identity
from delg_tf.extraction.image_extractor import ImageFeatures
from delg_tf.extraction.images import UnreadableImageError, load_image
from delg_tf.extraction.run import MakeExtractor
from delg_tf.photos.indexing import config_for
from delg_tf.photos.query_features import QueryFeatures
from delg_tf.protos import delf_config_pb2
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.index.base import ImageIndex, Where
from delg_tf.retrieval.index.index_features import IndexFeatures
from delg_tf.retrieval.rerank import RerankConfig, rerank_features
from delg_tf.retrieval.results import SearchResults


@dataclasses.dataclass(frozen=True)
class PhotoSearchOptions:
    """How photographs are searched for.

    Attributes:
        config: what is extracted; None: as the index says.
        top: photographs in a list.
        where: a filter of what may be found.
        reranking: settings of geometric verification; None: the global
            descriptors alone decide.
        max_image_pixels: larger queries are refused.
    """

    config: delf_config_pb2.DelfConfig | None = None
    top: int = 10
    where: Where = None
    reranking: RerankConfig | None = dataclasses.field(
        default_factory=RerankConfig
    )
    max_image_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if self.top < 1:
            raise InputError(f"--top must be at least 1, but is {self.top}.")


@dataclasses.dataclass(frozen=True)
class PhotoHit:
    """A photograph that was found.

    Attributes:
        rank: place in the list, from 1.
        name: in the index.
        similarity: cosine of the global descriptors.
        inliers: local features that agree on one motion; None if that was
            not looked at.
        metadata: what the index knows of it.
    """

    rank: int
    name: str
    similarity: float
    inliers: int | None
    metadata: dict[str, Any]

    @property
    def path(self) -> str | None:
        """Path of the file, if the index knows it."""
        return self.metadata.get("path")


@dataclasses.dataclass(frozen=True, eq=False)
class PhotoSearch:
    """What was found for one photograph.

    Attributes:
        path: of the query.
        hits: best first.
        features: of the query.
    """

    path: str
    hits: list[PhotoHit]
    features: ImageFeatures


def search_photos(
    index: ImageIndex,
    paths: Sequence[PathLike],
    options: PhotoSearchOptions,
    make_extractor: MakeExtractor,
) -> list[PhotoSearch]:
    """Searches an index for photographs.

    Args:
        index: what is searched.
        paths: files of the queries, one at least.
        options: how.
        make_extractor: loads the model.

    Raises:
        InputError: a query cannot be used, the index is empty, of another
            model or without what is needed.
    """
    if not paths:
        raise InputError("Name the photographs to search for.")
    for path in paths:
        if not os.path.isfile(path):
            raise InputError(f"The photograph {path} does not exist.")
    if not len(index):
        raise InputError(f"The index {index.place} is empty.")
    verified = options.reranking is not None
    if verified and index.settings.local_format is None:
        raise InputError(
            f"The index {index.place} keeps no local features, so nothing can "
            "be verified: pass --norerank."
        )
    config = config_for(
        index, options.config, index.settings.local_format is not None
    )
    index.settings.check_model(extraction_identity(config), "The queries")
    extractor = make_extractor(config)
    features = [
        _extract(extractor, path, options.max_image_pixels) for path in paths
    ]
    results = _search(index, [str(path) for path in paths], features, options)
    return [
        PhotoSearch(str(path), _hits(index, results, row, options.top), found)
        for row, (path, found) in enumerate(zip(paths, features))
    ]


def _extract(extractor: Any, path: PathLike, max_pixels: int) -> ImageFeatures:
    try:
        found = extractor.extract(load_image(path, max_pixels=max_pixels))
    except UnreadableImageError as error:
        raise InputError(
            f"The photograph {path} cannot be used: {error}."
        ) from error
    if not found.global_descriptor.size:
        raise InputError(
            f"The photograph {path} is too small to be searched for."
        )
    return found


def _search(
    index: ImageIndex,
    names: list[str],
    features: Sequence[ImageFeatures],
    options: PhotoSearchOptions,
) -> SearchResults:
    depth = options.top
    if options.reranking is not None:
        depth = max(depth, options.reranking.num_to_rerank)
    hits = index.search(
        np.stack([one.global_descriptor for one in features]),
        depth,
        options.where,
    )
    results = SearchResults(names, hits.names, hits.ids, hits.similarities)
    if options.reranking is None or not hits.ids.shape[1]:
        return results
    return rerank_features(
        results,
        FeatureStore(QueryFeatures(dict(zip(names, features)))),
        FeatureStore(IndexFeatures(index)),
        options.reranking,
    )


def _hits(
    index: ImageIndex, results: SearchResults, row: int, top: int
) -> list[PhotoHit]:
    found = []
    for rank, image in enumerate(results.ranks[row, :top].tolist(), start=1):
        if image < 0:
            break
        name = results.index_names[image]
        inliers = None
        if results.inliers is not None:
            inliers = int(results.inliers[row, rank - 1])
        found.append(
            PhotoHit(
                rank,
                name,
                float(results.similarities[row, rank - 1]),
                inliers,
                index.metadata(name),
            )
        )
    return found
