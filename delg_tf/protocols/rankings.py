"""Rankings of a data set: the global one, and what re-ranking makes of it."""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np

from delg_tf.evaluation.streamed import labelled_images
from delg_tf.protocols.data_set import RetrievalDataSet
from delg_tf.protocols.measures import junk_of, protocols_of
from delg_tf.protocols.options import RetrievalOptions
from delg_tf.protocols.rankings_file import (
    load_rankings,
    places_path,
    save_rankings,
)
from delg_tf.protocols.searching import SearchedFeatures
from delg_tf.retrieval.streaming.rankings import StreamedRankings
from delg_tf.retrieval.streaming.reranking import rerank_streamed

# Enough for the report, and for gldv2.
_LEAST = 100
# Key of a re-ranking that all protocols share.
ALL = "all"


@dataclasses.dataclass(frozen=True)
class RankingFiles:
    """Where rankings of a run lie.

    Attributes:
        folder: of the results.
        reranked: keys of the re-rankings: `ALL`, or a protocol each.
    """

    folder: pathlib.Path
    reranked: tuple[str, ...]

    @property
    def before(self) -> pathlib.Path:
        """Lists of the global search."""
        return self.folder / "global.npz"

    def after(self, key: str) -> pathlib.Path:
        """Lists of a re-ranking."""
        end = "" if key == ALL else f"_{key}"
        return self.folder / f"reranked{end}.npz"

    @property
    def of_search(self) -> tuple[pathlib.Path, ...]:
        """All files of the global search."""
        return self.before, places_path(self.before)

    @property
    def of_reranking(self) -> tuple[pathlib.Path, ...]:
        """All files of the re-rankings."""
        paths = [self.after(key) for key in self.reranked]
        return (*paths, *map(places_path, paths))


def ranking_files(
    data: RetrievalDataSet, options: RetrievalOptions
) -> RankingFiles:
    """Returns which rankings a run has."""
    keys: tuple[str, ...] = ()
    if options.reranking is not None:
        drop = options.drop_junk and data.solution is None
        keys = protocols_of(data) if drop else (ALL,)
    return RankingFiles(options.output, keys)


def search_data_set(
    data: RetrievalDataSet,
    features: SearchedFeatures,
    options: RetrievalOptions,
) -> StreamedRankings:
    """Ranks the index images of a data set by global descriptors.

    Raises:
        InputError: features are damaged.
    """
    truth = data.ground_truth
    labelled = labelled_images(truth.query_names, features.index.names, truth)
    return features.search(
        labelled,
        _depth(labelled, features, options),
        options.memory_mib,
        options.ranking,
        options.reranking,
    )


def _depth(
    labelled: list[np.ndarray],
    features: SearchedFeatures,
    options: RetrievalOptions,
) -> int:
    """Length of the lists: what is left out makes room for as many others."""
    if options.reranking is None:
        return _LEAST
    junk = max(map(len, labelled)) if options.drop_junk else 0
    wanted = options.reranking.num_to_rerank + junk
    return max(_LEAST, wanted + len(features.index.skipped_ids))


def rerank_data_set(
    data: RetrievalDataSet,
    features: SearchedFeatures,
    options: RetrievalOptions,
    files: RankingFiles,
) -> None:
    """Re-ranks, and writes the rankings.

    Raises:
        InputError: local features are missing.
    """
    before = load_rankings(files.before)
    counter = features.counter(options.reranking)
    for key in files.reranked:
        excluded = _excluded(data, features, key)
        # Pairs that an earlier protocol verified are not verified again.
        after = rerank_streamed(
            before, counter, options.reranking.num_to_rerank, excluded
        )
        save_rankings(files.after(key), after)


def _excluded(
    data: RetrievalDataSet, features: SearchedFeatures, key: str
) -> list[np.ndarray] | None:
    """Images that take no place in short lists: damaged, and dropped junk."""
    skipped = features.index.skipped_ids
    if key != ALL:
        return [np.union1d(ids, skipped) for ids in junk_of(data, key)]
    if not len(skipped):
        return None
    return [skipped] * len(data.ground_truth.query_names)


def load_all(
    data: RetrievalDataSet, files: RankingFiles
) -> tuple[StreamedRankings, Mapping[str, StreamedRankings]]:
    """Reads the global rankings, and the re-rankings by protocol."""
    before = load_rankings(files.before)
    loaded = {key: load_rankings(files.after(key)) for key in files.reranked}
    after = {
        protocol: loaded[ALL] if ALL in loaded else loaded[protocol]
        for protocol in (protocols_of(data) if loaded else ())
    }
    return before, after
