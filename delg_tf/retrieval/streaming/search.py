"""Rankings of millions of images, in bounded memory.

A whole ranking takes 8 bytes an entry, three times that while it is
evaluated: for the 1,129 queries of Google Landmarks and 4 million images 100
GiB, beside the descriptors of all images. The metrics need the places of the
labelled images only, and re-ranking the first images. Both come from one pass
over the descriptors.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.progress import Progress
from delg_tf.retrieval.descriptors import LEAST_SIMILARITY, check_descriptors
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.streaming.base import DescriptorSource
from delg_tf.retrieval.streaming.memory import DEFAULT_MEMORY_MIB, rows_a_block
from delg_tf.retrieval.streaming.places import PlaceCounter
from delg_tf.retrieval.streaming.rankings import StreamedRankings
from delg_tf.retrieval.streaming.scores import NotFiniteError, Scores
from delg_tf.retrieval.streaming.top_list import TopList


def stream_search(
    source: DescriptorSource,
    query_names: Sequence[str],
    queries: np.ndarray,
    labelled: Sequence[np.ndarray],
    top: int = 100,
    memory_mib: float = DEFAULT_MEMORY_MIB,
) -> StreamedRankings:
    """Finds tops of whole rankings, and where labelled images are in them.

    Rankings are those of `retrieval.search.search` over an index of the same
    descriptors: by cosine, equal ones by id, images without a descriptor as
    if their cosine were -1; by id for a query without a descriptor. (An index
    in memory ranks by sums in float32, and may order images otherwise whose
    cosines differ by less than their rounding.)

    Args:
        source: descriptors of the N images.
        query_names: names of the queries.
        queries: float32 [Q, D], L2-normalised; zeros for a query without a
            descriptor.
        labelled: for each query the ids of images whose places are wanted,
            int64; right ones and junk.
        top: K, length of the lists; at most N are in them. What re-ranking is
            to reach must be in them.
        memory_mib: bound on the memory for blocks of descriptors, see
            `memory.bytes_a_row`; results do not depend on it.

    Raises:
        InputError: a descriptor is missing, damaged or not finite, or the
            memory is not enough.
        ValueError: shapes do not fit, or ids are out of range.
    """
    queries = check_descriptors("queries", queries, source.dimension)
    if top < 1:
        raise ValueError(f"`top` must be at least 1. Received: {top}")
    labelled = _checked(labelled, len(query_names), len(queries), len(source))
    top = min(top, len(source))
    # Of a query without a descriptor: by id.
    ids = np.tile(np.arange(top, dtype=np.int64), (len(queries), 1))
    similarities = np.full(ids.shape, LEAST_SIMILARITY, np.float32)
    places = list(labelled)
    known = np.flatnonzero(queries.any(axis=1))
    if len(known):
        rows = rows_a_block(memory_mib, len(known), source.dimension)
        found = _pass(
            source, queries[known], [labelled[q] for q in known], top, rows
        )
        for query, (best, counter) in zip(known, found, strict=True):
            ids[query], similarities[query] = best.ids, best.similarities
            places[query] = counter.places
    return StreamedRankings(
        SearchResults(tuple(query_names), source.names, ids, similarities),
        labelled,
        tuple(places),
    )


def _pass(
    source: DescriptorSource,
    queries: np.ndarray,
    labelled: Sequence[np.ndarray],
    top: int,
    rows: int,
) -> list[tuple[TopList, PlaceCounter]]:
    """Compares all descriptors with queries that have one."""
    scores = Scores(queries)
    found = [
        (
            TopList(top),
            PlaceCounter(ids, scores.of_rows(query, source.rows(ids))),
        )
        for query, ids in enumerate(labelled)
    ]

    def take(query: int, first: int, values: np.ndarray) -> None:
        for part in found[query]:
            part.add(first, values)

    with (
        Progress(len(source), "Search", "image") as progress,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        for first, block in _blocks(source, rows):
            try:
                values = scores.of_block(block)
            except NotFiniteError as error:
                name = source.names[first + error.row]
                raise InputError(
                    f"The descriptor of {name} has values that are not "
                    "finite. Extract it again."
                ) from error
            list(
                pool.map(
                    lambda query, first=first, values=values: take(
                        query, first, values[query]
                    ),
                    range(len(queries)),
                )
            )
            source.release()
            progress.advance(len(block))
    return found


def _blocks(
    source: DescriptorSource, rows: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields first ids and descriptors; the next is read meanwhile."""
    starts = range(0, len(source), rows)
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(source.block, 0, min(rows, len(source)))
        for start in starts:
            block = coming.result()
            after = start + rows
            if after < len(source):
                stop = min(after + rows, len(source))
                coming = reader.submit(source.block, after, stop)
            yield start, block


def _checked(
    labelled: Sequence[np.ndarray], names: int, queries: int, size: int
) -> tuple[np.ndarray, ...]:
    """Returns ids ascending and each once, after checking the shapes."""
    if not names == queries == len(labelled):
        raise ValueError(
            "`query_names`, `queries` and `labelled` must be of one length. "
            f"Received: {names}, {queries} and {len(labelled)}"
        )
    ids = tuple(np.unique(np.asarray(i, np.int64)) for i in labelled)
    for row, some in enumerate(ids):
        if len(some) and not 0 <= some[0] <= some[-1] < size:
            raise ValueError(
                f"`labelled` must be ids from 0 to {size - 1}. Received: "
                f"{some[[0, -1]].tolist()} for query {row}"
            )
    return ids
