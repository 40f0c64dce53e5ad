"""How similar two aggregated images are.

Source: Tolias et al., IJCV 2016; with the parameters and the conventions of
the official feature_aggregation_similarity.py.
"""

import dataclasses

import numpy as np

from delg_tf.aggregation.representation import Aggregated
from delg_tf.protos.aggregation_config_pb2 import AggregationConfig

# Of a pair in which one image has no features.
EMPTY_SIMILARITY = -1.0


@dataclasses.dataclass(frozen=True)
class Selectivity:
    """What a match of one visual word counts: sign(x) |x|^alpha above tau.

    Attributes:
        alpha: the exponent.
        tau: the threshold; at it or below, a match counts nothing.
    """

    alpha: float = 3.0
    tau: float = 0.0

    @classmethod
    def of(cls, config: AggregationConfig) -> "Selectivity":
        """Returns what a configuration says."""
        return cls(config.alpha, config.tau)

    def __call__(self, inner: np.ndarray) -> np.ndarray:
        """Returns float64 of the shape of `inner`, which are from -1 to 1."""
        inner = np.asarray(inner, np.float64)
        value = np.sign(inner) * np.abs(inner) ** self.alpha
        return np.where(inner > self.tau, value, 0.0)


def sign_products(
    first: np.ndarray, second: np.ndarray, num_bits: int
) -> np.ndarray:
    """Returns 1 - 2 hamming / bits of packed signs, row by row.

    Args:
        first: unsigned integers [W, B].
        second: the same type and shape.
        num_bits: bits that count, see `star_bits`.

    Returns:
        float64 [W].
    """
    different = np.bitwise_count(first ^ second).sum(axis=1, dtype=np.int64)
    return 1.0 - 2.0 * different / num_bits


def star_bits(config: AggregationConfig) -> int:
    """Returns the bits that count for a word of ASMK*.

    They are the D of less than 8 numbers, and else all bits of all bytes,
    also those that fill up the last byte; so the official code has it.
    """
    depth = config.feature_dimensionality
    return depth if depth < 8 else 8 * -(-depth // 8)


def similarity(
    first: Aggregated, second: Aggregated, config: AggregationConfig
) -> float:
    """Returns the similarity of two images; the larger, the more similar.

    VLAD: the inner product. ASMK and ASMK*: the sum of the selective matches
    of the words that both images have; with `use_l2_normalization` divided by
    the root of the product of their numbers of words; -1 if an image has no
    features.

    Args:
        first: an image.
        second: another one.
        config: what both were made by, but for regions.
    """
    if first.words is None:
        return float(np.dot(first.descriptors, second.descriptors))
    if first.is_empty or second.is_empty:
        return EMPTY_SIMILARITY
    _, rows, columns = np.intersect1d(
        first.words, second.words, assume_unique=True, return_indices=True
    )
    left, right = first.descriptors[rows], second.descriptors[columns]
    if config.aggregation_type == AggregationConfig.ASMK_STAR:
        inner = sign_products(left, right, star_bits(config))
    else:
        inner = np.einsum("wd,wd->w", left, right)
    total = float(Selectivity.of(config)(inner).sum())
    if config.use_l2_normalization:
        total /= float(np.sqrt(len(first.words) * len(second.words)))
    return total
