"""The first images of every query by global descriptors, kept on the disk.

Who knows them can extract local features of the images in them alone, which of
four million training images are the smaller part.
"""

import pathlib
import zipfile
from collections.abc import Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, atomic_write
from delg_tf.common.progress import Progress
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.index.base import SearchableIndex
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.search import query_descriptors, search

# Queries of a pass over the index, whose lists are written together.
_QUERIES_A_BLOCK = 1024


class ShortLists:
    """Lists of K images for Q queries; 8 bytes an image.

    Attributes:
        query_names: the queries.
        ranks: int32 [Q, K], ids of index images, best first.
        similarities: float32 [Q, K], cosines.
    """

    def __init__(
        self,
        query_names: Sequence[str],
        ranks: np.ndarray,
        similarities: np.ndarray,
    ):
        self.query_names = tuple(query_names)
        self.ranks = ranks
        self.similarities = similarities
        self._rows = {name: row for row, name in enumerate(self.query_names)}

    @property
    def depth(self) -> int:
        """Length of the lists, K."""
        return self.ranks.shape[1]

    def images(self) -> np.ndarray:
        """Returns the ids of all images in the lists, int64, ascending."""
        return np.unique(self.ranks).astype(np.int64)

    def results(
        self, query_names: Sequence[str], index_names: Sequence[str], depth: int
    ) -> SearchResults:
        """Returns some queries' lists as search results.

        Args:
            query_names: some of the queries.
            index_names: names of all index images.
            depth: length of the lists, K at most.

        Raises:
            ValueError: a query is not known, or the lists are too short.
        """
        unknown = [name for name in query_names if name not in self._rows]
        if unknown or depth > self.depth:
            raise ValueError(
                f"`query_names` must be among the lists' and `depth` at most "
                f"{self.depth}. Received: {unknown[:1] or depth}"
            )
        rows = [self._rows[name] for name in query_names]
        return SearchResults(
            tuple(query_names),
            index_names,
            self.ranks[rows, :depth],
            self.similarities[rows, :depth],
        )


def search_short_lists(
    folder: PathLike,
    index: SearchableIndex,
    query_store: FeatureStore,
    names: Sequence[str],
    depth: int,
) -> ShortLists:
    """Searches an index, or what of the search is missing.

    Args:
        folder: of the blocks that are done; of this index, these queries and
            this depth alone.
        index: the images to search.
        query_store: global descriptors of the queries.
        names: the queries.
        depth: length of each list; at most the size of the index.

    Raises:
        InputError: features are missing or damaged, or a block is of another
            search.
    """
    folder = pathlib.Path(folder)
    depth = min(depth, len(index))
    blocks = []
    starts = range(0, len(names), _QUERIES_A_BLOCK)
    done = sum(_path(folder, start).exists() for start in starts)
    done = min(done * _QUERIES_A_BLOCK, len(names))
    with Progress(len(names), "Global search", "query", done) as progress:
        for start in starts:
            some = names[start : start + _QUERIES_A_BLOCK]
            path = _path(folder, start)
            if not path.exists():
                known, queries = query_descriptors(index, query_store, some)
                found = search(index, known, queries, depth)
                with atomic_write(path) as file:
                    np.savez(
                        file,
                        ranks=found.ranks,
                        similarities=found.similarities,
                    )
                progress.advance(len(some))
            blocks.append(_read(path, (len(some), depth), len(index)))
    ranks, similarities = map(np.concatenate, zip(*blocks, strict=True))
    return ShortLists(names, ranks, similarities)


def _path(folder: pathlib.Path, start: int) -> pathlib.Path:
    return folder / f"{start:09d}.npz"


def _read(
    path: pathlib.Path, shape: tuple[int, int], size: int
) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as content:
            ranks, similarities = content["ranks"], content["similarities"]
    except (
        KeyError,
        OSError,
        ValueError,
        EOFError,
        zipfile.BadZipFile,
    ) as error:
        raise InputError(
            f"{path} is damaged: {error!r}. Remove it; the search is then done "
            "again."
        ) from error
    if ranks.shape != shape or (ranks.size and ranks.max() >= size):
        raise InputError(
            f"{path} is of another search. Remove its folder; the search is "
            "then done again."
        )
    return ranks, similarities
