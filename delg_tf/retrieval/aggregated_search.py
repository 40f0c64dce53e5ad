"""Search and re-ranking by aggregated local features.

As an index: ASMK and ASMK* by an inverted file, VLAD by inner products. As a
re-ranker: of the short lists of a global search. Results are those of any
search, with the similarity of aggregated features in place of the cosine.
"""

import dataclasses
import functools
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from delg_tf.aggregation.folder import AggregatedFolder, check_comparable
from delg_tf.aggregation.inverted_index import InvertedIndex
from delg_tf.aggregation.inverted_writer import write_inverted_index
from delg_tf.aggregation.similarity import similarity
from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.common.progress import Progress, track
from delg_tf.protos.aggregation_config_pb2 import AggregationConfig
from delg_tf.retrieval.results import SearchResults

RANKED_BY = "similarity of aggregated local features"
_BELOW_ONE = 1 - 1e-9
# Numbers of VLAD vectors of index images held at a time: 256 MiB.
_BLOCK = 1 << 26
# Representations of index images that re-ranking keeps.
_CACHED = 1024


def index_folder(
    index: AggregatedFolder,
    directory: PathLike,
    names: Sequence[str] | None = None,
    overwrite: bool = False,
) -> InvertedIndex:
    """Builds and opens an inverted index of a folder of ASMK or ASMK* files.

    Args:
        index: the aggregated images.
        directory: folder to write.
        names: the images, in the order of their ids; None: all, by name.
        overwrite: whether an index there is replaced.

    Raises:
        InputError: files are missing or damaged, or `directory` is taken.
    """
    names = index.names() if names is None else names
    write_inverted_index(
        directory,
        names,
        index.read,
        index.config,
        index.codebook_identity,
        overwrite,
    )
    return InvertedIndex(directory, verify=False)


def search_aggregated(
    queries: AggregatedFolder,
    index: AggregatedFolder | InvertedIndex,
    query_names: Sequence[str] | None = None,
    index_names: Sequence[str] | None = None,
    num_results: int | None = None,
) -> SearchResults:
    """Ranks index images by the similarity of aggregated features.

    Args:
        queries: the aggregated queries.
        index: the index images; of a folder of ASMK or ASMK* a temporary
            inverted index is made.
        query_names: the queries; None: all.
        index_names: of a folder the images that are searched; None: all.
        num_results: length of each list; None: the whole index.

    Returns:
        Lists by falling similarity (of the aggregated features, which takes
        the place of the cosine), equal ones by id. A query without
        features gets the index in its own order.

    Raises:
        InputError: files are missing or damaged, or the two do not fit.
    """
    _check(queries, index)
    query_names = queries.names() if query_names is None else query_names
    if isinstance(index, InvertedIndex):
        scores = _inverted_scores(queries, query_names, index)
        return _ranked(query_names, index.names, scores, num_results)
    index_names = index.names() if index_names is None else index_names
    if index.config.aggregation_type == AggregationConfig.VLAD:
        scores = _vlad_scores(queries, query_names, index, index_names)
        return _ranked(query_names, index_names, scores, num_results)
    with tempfile.TemporaryDirectory() as folder:
        inverted = index_folder(index, pathlib.Path(folder, "i"), index_names)
        scores = _inverted_scores(queries, query_names, inverted)
        return _ranked(query_names, index_names, scores, num_results)


def rerank_aggregated(
    results: SearchResults,
    queries: AggregatedFolder,
    index: AggregatedFolder,
    num_to_rerank: int = 100,
) -> SearchResults:
    """Sorts the first images of each list by their aggregated similarity.

    Args:
        results: lists of a global search.
        queries: the aggregated queries.
        index: the aggregated index images; only those of the short lists are
            read.
        num_to_rerank: length of the short list.

    Returns:
        The lists in their new order. `scores` fall along a list: those of the
        short list are 1 + the aggregated similarity (or more, where that can
        be negative), above all others, whose score is their cosine. Equal ones
        are in the order of their ids.

    Raises:
        InputError: files are missing or damaged, or the two do not fit.
    """
    if num_to_rerank < 1:
        raise InputError(
            f"num_to_rerank must be at least 1, but is {num_to_rerank}."
        )
    _check(queries, index)
    results = results.without_reranking()
    read = functools.lru_cache(_CACHED)(index.read)
    scores = np.minimum(results.similarities.astype(np.float64), _BELOW_ONE)
    rows = track(results.query_names, "Re-ranking", "query")
    for row, name in enumerate(rows):
        query = queries.read(name)
        short = results.ranks[row, :num_to_rerank]
        values = np.array(
            [
                similarity(query, read(results.index_names[i]), index.config)
                for i in short
            ]
        )
        scores[row, : len(short)] = 1 + values - min(0, values.min())
    results = dataclasses.replace(results, scores=scores, ranked_by=RANKED_BY)
    return results.without_reranking()


def _check(
    queries: AggregatedFolder, index: AggregatedFolder | InvertedIndex
) -> None:
    check_comparable(
        queries.config,
        index.config,
        (queries.codebook_identity, index.codebook_identity),
    )


def _ranked(
    query_names: Sequence[str],
    index_names: Sequence[str],
    scores: Iterable[np.ndarray],
    num_results: int | None,
) -> SearchResults:
    """Sorts the [N] scores of each query."""
    for what, names in (("queries", query_names), ("images", index_names)):
        if not names or len(set(names)) < len(names):
            raise InputError(f"The list of {what} is empty or repeats a name.")
    depth = len(index_names) if num_results is None else num_results
    if not 1 <= depth <= len(index_names):
        raise InputError(
            f"{depth} results are asked for; the index has "
            f"{len(index_names)} images."
        )
    ranks = np.empty((len(query_names), depth), np.int32)
    similarities = np.empty((len(query_names), depth), np.float32)
    rows = track(scores, "Search", "query", len(query_names))
    for row, values in enumerate(rows):
        values = values.astype(np.float32)
        ranks[row] = _best(values, depth)
        similarities[row] = values[ranks[row]]
    return SearchResults(
        tuple(query_names),
        tuple(index_names),
        ranks,
        similarities,
        ranked_by=RANKED_BY,
    )


def _best(scores: np.ndarray, depth: int) -> np.ndarray:
    """Returns the ids of the best, equal ones by id."""
    ids = np.arange(len(scores))
    if depth < len(scores):
        last = np.partition(scores, len(scores) - depth)[len(scores) - depth]
        ids = np.flatnonzero(scores >= last)
    return ids[np.argsort(-scores[ids], kind="stable")[:depth]]


def _inverted_scores(
    queries: AggregatedFolder, names: Sequence[str], index: InvertedIndex
) -> Iterator[np.ndarray]:
    for name in names:
        yield index.scores(queries.read(name))


def _vlad_scores(
    queries: AggregatedFolder,
    query_names: Sequence[str],
    index: AggregatedFolder,
    index_names: Sequence[str],
) -> np.ndarray:
    """Returns float32 [Q, N] inner products, block by block."""
    left = np.stack([queries.read(name).descriptors for name in query_names])
    scores = np.empty((len(left), len(index_names)), np.float32)
    block = max(1, _BLOCK // left.shape[1])
    with Progress(len(index_names), "Reading VLAD", "image") as progress:
        for start in range(0, len(index_names), block):
            names = index_names[start : start + block]
            right = np.stack([index.read(name).descriptors for name in names])
            scores[:, start : start + block] = left @ right.T
            progress.advance(len(names))
    return scores
