"""Global search of many queries."""

import collections
from collections.abc import Sequence

import numpy as np
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.progress import Progress
from delg_tf.retrieval.descriptors import check_descriptors
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.index.base import SearchableIndex, Where
from delg_tf.retrieval.index.memory import MemoryIndex
from delg_tf.retrieval.results import SearchResults

# Ranked images held at a time while searching: 12 bytes each in FAISS and
# the same again while they are sorted.
_RANKED_A_CHUNK = 1 << 24


def index_features(
    store: FeatureStore, names: Sequence[str] | None = None
) -> MemoryIndex:
    """Builds an index in memory of the global descriptors in a folder.

    Images whose descriptor is empty, being too small for one, take part; they
    come last in every list.

    Args:
        store: the feature files.
        names: the images, in the order of their ids; None for all that have
            a global descriptor, by name.

    Raises:
        InputError: files are missing or damaged, or a name comes twice; or
            all descriptors are empty.
    """
    names = store.list_names() if names is None else names
    _require_distinct("index images", names)
    descriptors = store.global_descriptors(names)
    if not descriptors.size:
        raise all_empty(store, len(names))
    _warn_of_empty("index images", names, descriptors)
    return MemoryIndex(names, descriptors, store.source.model)


def all_empty(store: FeatureStore, count: int) -> InputError:
    """Returns what to raise where no image has a descriptor."""
    return InputError(
        f"All {count} global descriptors in {store.directory} are empty: the "
        "images are too small. Extract larger ones, or with a larger "
        "`min_image_size`."
    )


def search_features(
    index: SearchableIndex,
    store: FeatureStore,
    names: Sequence[str] | None = None,
    num_results: int | None = None,
    where: Where = None,
) -> SearchResults:
    """Searches the index for the global descriptors in a folder.

    A query whose descriptor is empty, being too small for one, gets the index
    images in the order of their ids, with similarities of -1.

    Args:
        index: the images to search.
        store: feature files of the queries.
        names: the queries; None for all that have a global descriptor.
        num_results: see `search`.
        where: see `search`.

    Raises:
        InputError: files are missing or damaged, or do not fit the index.
    """
    names, descriptors = query_descriptors(index, store, names, num_results)
    return search(index, names, descriptors, num_results, where)


def query_descriptors(
    index: SearchableIndex,
    store: FeatureStore,
    names: Sequence[str] | None = None,
    num_results: int | None = None,
) -> tuple[Sequence[str], np.ndarray]:
    """Reads what `search` is called with; arguments as `search_features`.

    Returns:
        Names of the queries, and float32 [Q, D], L2-normalised; zeros for a
        query without a descriptor.

    Raises:
        InputError: as `search_features`.
    """
    what = f"The queries in {store.directory}"
    index.settings.check_model(store.source.model, what)
    names = store.list_names() if names is None else names
    _require_distinct("queries", names)
    if num_results is not None and not 1 <= num_results <= len(index):
        raise InputError(
            f"{num_results} results are asked for; the index has "
            f"{len(index)} images."
        )
    descriptors = store.global_descriptors(names)
    _warn_of_empty("queries", names, descriptors)
    if not descriptors.size:
        descriptors = np.zeros((len(names), index.dimension), np.float32)
    index.settings.check_dimension(
        descriptors.shape[1], f"The descriptors in {store.directory}"
    )
    return names, descriptors


def search(
    index: SearchableIndex,
    query_names: Sequence[str],
    query_descriptors: np.ndarray,
    num_results: int | None = None,
    where: Where = None,
) -> SearchResults:
    """Ranks index images by the cosine of the global descriptors.

    Args:
        index: the images to search.
        query_names: names of the queries.
        query_descriptors: float32 [Q, D], L2-normalised; zeros for a query
            without a descriptor.
        num_results: length of each list; None for the whole index, as the
            evaluation needs it.
        where: a filter that images must pass, see `SearchableIndex.search`.

    Returns:
        Lists of `num_results` images, or of all that pass the filter; equal
        similarities by id. What an approximate search does not find follows
        by id, with similarities of -1.

    Raises:
        InputError: the index is empty, or the filter is wrong.
        ValueError: shapes do not fit, or `num_results` is below 1.
    """
    query_descriptors = check_descriptors(
        "query_descriptors", query_descriptors, index.dimension
    )
    if len(query_names) != len(query_descriptors):
        raise ValueError(
            "`query_names` must have one name a descriptor. Received: "
            f"{len(query_names)} names, {len(query_descriptors)} descriptors."
        )
    if not len(index):
        raise InputError("The index is empty. Add images to it.")
    candidates = index.matching(where)
    depth = len(candidates)
    if num_results is not None:
        depth = min(num_results, depth)
    names = index.names
    ranks = np.empty((len(query_names), depth), dtype=np.int32)
    similarities = np.empty((len(query_names), depth), dtype=np.float32)
    chunk = max(1, _RANKED_A_CHUNK // max(depth, 1))
    with Progress(len(query_names), "Search", "query") as progress:
        for start in range(0, len(query_names), chunk):
            rows = slice(start, start + chunk)
            if depth:
                hits = index.search(query_descriptors[rows], depth, where)
                hits = hits.filled(candidates)
                ranks[rows] = hits.ids
                similarities[rows] = hits.similarities
            progress.advance(len(ranks[rows]))
    return SearchResults(
        query_names=tuple(query_names),
        index_names=names,
        ranks=ranks,
        similarities=similarities,
    )


def _warn_of_empty(
    what: str, names: Sequence[str], descriptors: np.ndarray
) -> None:
    empty = np.flatnonzero(~descriptors.any(axis=1))
    if len(empty):
        logging.warning(
            "%d of %d %s have no descriptor, as they are too small; the first "
            "is %s.",
            len(empty),
            len(names),
            what,
            names[empty[0]],
        )


def _require_distinct(what: str, names: Sequence[str]) -> None:
    if not names:
        raise InputError(f"The list of {what} is empty.")
    name, count = collections.Counter(names).most_common(1)[0]
    if count > 1:
        raise InputError(f"The list of {what} has {name} {count} times.")
