"""An inverted file of visual words: one query against all images at once.

For each word the images that have it, with their residuals (ASMK) or signs
(ASMK*). A query meets only the images that share a word with it. Scores are
those of `similarity.similarity`.

Source: Tolias et al., "Image search with selective match kernels", IJCV 2016.
"""

import pathlib
from collections.abc import Iterator

import numpy as np

from delg_tf.aggregation.inverted_files import InvertedFiles
from delg_tf.aggregation.representation import Aggregated
from delg_tf.aggregation.similarity import (
    EMPTY_SIMILARITY,
    Selectivity,
    sign_products,
    star_bits,
)
from delg_tf.common.files import PathLike
from delg_tf.protos.aggregation_config_pb2 import AggregationConfig

# Residuals compared at a time: with 128 numbers each 64 MiB.
_POSTINGS = 1 << 17


class InvertedIndex:
    """Searches what `inverted_writer.write_inverted_index` has written.

    The files are mapped into memory, so several processes share them, and
    what no query asks for is not read. Safe to use by several threads.

    Attributes:
        directory: the folder.
        names: names of the N images.
        config: what they were aggregated by; its selectivity is the default.
        codebook_identity: of the codebook; "" if that is not known.
    """

    def __init__(self, directory: PathLike, verify: bool = True):
        """Opens an index.

        Args:
            directory: the folder.
            verify: whether all bytes are read once and compared with their
                checksums; sizes always are.

        Raises:
            InputError: it is missing or damaged, or of another version.
        """
        self._files = InvertedFiles.open(pathlib.Path(directory), verify)
        self.directory = self._files.directory
        self.names = self._files.names
        self.config = self._files.config
        self.codebook_identity = self._files.codebook_identity

    def __len__(self) -> int:
        return len(self.names)

    @property
    def num_postings(self) -> int:
        """Pairs of a word and an image that has it."""
        return len(self._files.images)

    @property
    def num_bytes(self) -> int:
        """Bytes of the arrays."""
        return self._files.num_bytes

    def scores(
        self, query: Aggregated, selectivity: Selectivity | None = None
    ) -> np.ndarray:
        """Returns the similarity of a query to every image.

        Args:
            query: ASMK or ASMK*, as the index.
            selectivity: in place of the configuration's.

        Returns:
            float64 [N]; -1 where the query or the image has no features.
        """
        selectivity = selectivity or Selectivity.of(self.config)
        counts = np.asarray(self._files.word_counts)
        if query.is_empty:
            return np.full(len(self), EMPTY_SIMILARITY)
        scores = np.zeros(len(self))
        rows = self._files.as_stored(query.descriptors)
        for part, which in self._postings(query.words):
            inner = self._inner(self._files.residuals[part], rows[which])
            scores += np.bincount(
                self._files.images[part], selectivity(inner), len(self)
            )
        if self.config.use_l2_normalization:
            scores /= np.sqrt(float(len(query.words)) * np.maximum(counts, 1))
        scores[counts == 0] = EMPTY_SIMILARITY
        return scores

    def _postings(
        self, words: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields the postings of words, and the place of the word of each."""
        words = words.astype(np.int64)
        starts = self._files.offsets[words]
        lengths = self._files.offsets[words + 1] - starts
        ends = np.cumsum(lengths)
        total = int(ends[-1])
        for begin in range(0, total, _POSTINGS):
            place = np.arange(begin, min(begin + _POSTINGS, total))
            which = np.searchsorted(ends, place, side="right")
            before = ends[which] - lengths[which]
            yield starts[which] + place - before, which

    def _inner(self, stored: np.ndarray, query: np.ndarray) -> np.ndarray:
        if self.config.aggregation_type == AggregationConfig.ASMK_STAR:
            return sign_products(stored, query, star_bits(self.config))
        return np.einsum("pd,pd->p", stored, query)
