"""VLAD and R-VLAD: residuals of features, summed up for each visual word.

Source: Jegou et al., "Aggregating local descriptors into a compact image
representation", CVPR 2010; regional: Teichmann et al., "Detect-to-Retrieve:
Efficient Regional Aggregation for Image Search", CVPR 2019. Definitions as in
the official feature_aggregation_extractor.py; here only the words that occur
are kept, which with 65,536 words saves nearly all of the memory.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

# Squared norms are taken as at least this much, as in the official code.
NORM_SQUARED_TOLERANCE = 1e-12


@dataclasses.dataclass(frozen=True, eq=False)
class SparseVlad:
    """The non-zero rows of a [K, D] array.

    Attributes:
        words: int64 [W], sorted and distinct visual words.
        residuals: float32 [W, D], the row of each.
    """

    words: np.ndarray
    residuals: np.ndarray

    def normalised(self) -> "SparseVlad":
        """Returns it as one L2-normalised vector."""
        square = np.sum(np.square(self.residuals), dtype=np.float64)
        norm = np.sqrt(max(square, NORM_SQUARED_TOLERANCE))
        residuals = (self.residuals / norm).astype(np.float32)
        return SparseVlad(self.words, residuals)

    def dense(self, size: int) -> np.ndarray:
        """Returns float32 [size * D], one word after the other."""
        full = np.zeros((size, self.residuals.shape[1]), np.float32)
        full[self.words] = self.residuals
        return full.ravel()


def sparse_vlad(
    features: np.ndarray, words: np.ndarray, assignment: np.ndarray
) -> SparseVlad:
    """Sums up the residuals of features.

    Args:
        features: float32 [N, D].
        words: float32 [K, D], the codebook.
        assignment: int [N, A], the words of each feature.

    Returns:
        For each word the sum of (feature - word) over its features, in the
        order of the features. Not normalised.
    """
    flat = assignment.ravel()
    rows = np.repeat(np.arange(len(features)), assignment.shape[1])
    order = np.argsort(flat, kind="stable")
    residuals = features[rows[order]] - words[flat[order]]
    return _sum_by_word(flat[order], residuals)


def sparse_rvlad(
    regions: Sequence[SparseVlad], l2_normalise: bool
) -> SparseVlad:
    """Aggregates regions.

    Args:
        regions: VLAD of each region, not normalised, at least one. Regions
            without features count in their number.
        l2_normalise: whether the sum is L2-normalised; else it is divided by
            the number of regions.

    Returns:
        The sum of the L2-normalised VLADs of the regions.
    """
    parts = [region.normalised() for region in regions]
    words = np.concatenate([part.words for part in parts])
    residuals = np.concatenate([part.residuals for part in parts])
    order = np.argsort(words, kind="stable")
    total = _sum_by_word(words[order], residuals[order])
    if l2_normalise:
        return total.normalised()
    return SparseVlad(total.words, total.residuals / np.float32(len(parts)))


def _sum_by_word(words: np.ndarray, residuals: np.ndarray) -> SparseVlad:
    """Sums rows of equal words, which are sorted."""
    distinct, starts = np.unique(words, return_index=True)
    if len(distinct):
        residuals = np.add.reduceat(residuals, starts, axis=0)
    return SparseVlad(distinct.astype(np.int64), residuals)
