"""Whether two runs differ by more than the choice of queries; NumPy only.

Both runs answered the same queries, so their differences are looked at, query
by query, and not two intervals: most of a metric's spread is that some queries
are hard for all.

- The interval of the mean difference: percentile bootstrap over queries, as
  in `metrics.uncertainty`.
- The p-value: two-sided sign-flip permutation test. If the runs were as good
  as each other, each difference could as well have the other sign. p is the
  share of all choices of signs whose mean is at least as far from 0 as the
  measured one. All choices are counted if at most `MAX_EXACT` differences
  are not 0; else `num_samples` are drawn, and p = (1 + as far) / (1 + drawn),
  which is never 0.

Traps. A t-test takes the differences for normal, but those of AP have heavy
tails and many zeros. The sign test and Wilcoxon's look at signs and ranks, not
at the mean that papers report. Of many compared pairs of runs some have a
small p by chance: correct for their number. A small p is not a large gain.

Source: Fisher's randomisation test; Smucker et al., "A comparison of
statistical significance tests for information retrieval evaluation", 2007.
"""

import dataclasses

import numpy as np

from delg_tf.evaluation.metrics.uncertainty import Interval, bootstrap_interval

# Differences whose 2^n choices of signs are all counted.
MAX_EXACT = 20
# Draws made at a time.
_BLOCK = 1 << 22


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """How a second run differs from a first one on the same queries.

    Attributes:
        mean: of second - first, so above 0 if the second is better; NaN
            without queries.
        interval: of that mean.
        p_value: two-sided, 0 to 1; 1 if no query differs, NaN without any.
        num_queries: queries that both runs have a value for.
    """

    mean: float
    interval: Interval
    p_value: float
    num_queries: int


def paired_difference(
    first: np.ndarray,
    second: np.ndarray,
    level: float = 0.95,
    num_samples: int = 10000,
    seed: int = 0,
) -> PairedDifference:
    """Compares two runs by one value a query.

    Args:
        first: [Q], for example the AP of each query; NaN for queries without
            positives, which are left out.
        second: [Q], of the same queries in the same order.
        level: of the interval, between 0 and 1.
        num_samples: draws of the interval, and of the test where it is not
            exact.
        seed: of the draws; the result is a function of it.

    Raises:
        ValueError: shapes differ, a value is infinite, or a query has a value
            in one run only: they were not judged by one ground truth.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(
            "`first` and `second` must be [Q]. Received: shapes "
            f"{first.shape} and {second.shape}"
        )
    one_sided = np.flatnonzero(np.isnan(first) != np.isnan(second))
    if len(one_sided):
        raise ValueError(
            "`first` and `second` must be NaN for the same queries. Received "
            f"{len(one_sided)} that differ, the first is {one_sided[0]}"
        )
    differences = (second - first)[~np.isnan(first)]
    interval = bootstrap_interval(differences, level, num_samples, seed)
    count = len(differences)
    return PairedDifference(
        mean=float(differences.mean()) if count else float("nan"),
        interval=interval,
        p_value=_sign_flip(differences, num_samples, seed),
        num_queries=count,
    )


def _sign_flip(differences: np.ndarray, num_samples: int, seed: int) -> float:
    """Returns the two-sided p-value of the mean being 0."""
    if not len(differences):
        return float("nan")
    # Zeros change no sum.
    differences = differences[differences != 0]
    size = np.abs(differences).sum()
    # Sums that are equal but for rounding are as far.
    measured = abs(differences.sum()) - 1e-12 * size
    if len(differences) <= MAX_EXACT:
        sums = np.zeros(1)
        for value in differences:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= measured))
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // len(differences))
    far = 0
    for start in range(0, num_samples, block):
        shape = (min(block, num_samples - start), len(differences))
        signs = rng.integers(2, size=shape, dtype=np.int8) * 2 - 1
        far += np.count_nonzero(np.abs(signs @ differences) >= measured)
    return float((1 + far) / (1 + num_samples))
