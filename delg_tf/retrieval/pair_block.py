"""Verification of some candidates of one query."""

import dataclasses

from delg_tf.common.errors import InputError
from delg_tf.matching.config import MatchingConfig
from delg_tf.matching.match import match_with_many
from delg_tf.matching.prepared import PreparedFeatures
from delg_tf.retrieval.feature_store import FeatureStore


@dataclasses.dataclass(frozen=True)
class PairBlock:
    """A query and index images that it is verified with."""

    query: str
    candidates: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class BlockCounts:
    """Number of inliers of each candidate, and what could not be read."""

    inliers: list[int]
    problems: list[str]


def count_block(
    query_store: FeatureStore,
    index_store: FeatureStore,
    config: MatchingConfig,
    block: PairBlock,
) -> BlockCounts:
    """Counts the inliers of a query with each of its candidates.

    The query's features are read and prepared once.

    Args:
        query_store: local features of the queries.
        index_store: local features of the index images.
        config: how pairs are matched.
        block: the pairs.

    Returns:
        The counts; a pair with a damaged file has 0, as one such file must
        not end the work of hours.

    Raises:
        InputError: descriptors of two images differ in their depth.
    """
    nothing = [0] * len(block.candidates)
    try:
        query = PreparedFeatures.of(query_store.matchable_features(block.query))
    except InputError as error:
        return BlockCounts(nothing, [str(error)])
    counts, problems, indexes = nothing, [], {}
    for place, name in enumerate(block.candidates):
        try:
            index = PreparedFeatures.of(index_store.matchable_features(name))
        except InputError as error:
            problems.append(str(error))
            continue
        if not len(query) or not len(index):
            continue
        if query.depth != index.depth:
            raise InputError(
                f"{query_store.local_path(block.query)} has descriptors of "
                f"{query.depth} numbers, {index_store.local_path(name)} of "
                f"{index.depth}. Extract both with the same model."
            )
        indexes[place] = index
    matches = match_with_many(query, list(indexes.values()), config)
    for place, match in zip(indexes, matches, strict=True):
        counts[place] = match.num_inliers
    return BlockCounts(counts, problems)
