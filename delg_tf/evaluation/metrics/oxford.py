"""Old Oxford5k and Paris6k: AP of lists that may be short; NumPy only.

Positive are `good` and `ok` images, `junk` ones are taken out of the list
first, all others are wrong. With P positives, and the i-th found one (from 0)
at rank r (from 0, junk not counted),

    AP = 1 / P * sum over found i of (left + right) / 2,
    left = i / r (1 where r = 0), right = (i + 1) / (r + 1):

the area under the precision-recall curve by the trapezoidal rule, from
precision 1 at recall 0. Positives that the list lacks add nothing. mAP is the
mean over the 55 queries; queries without positives are left out of it.

On whole rankings that is the AP of Easy in `metrics.revisited` with good and
ok as easy; that one refuses short lists. What differs between the two
benchmarks are labels and index: here the query's own image stays in the index
and is one of the `good`, so the first place is nearly always right, and
numbers are far higher. Query images are cropped to their box; whoever does
not must say so. Some papers take the 20 damaged images of Paris out.

Traps. scikit-learn's `average_precision_score` sums rectangles, and lists
without some positives look better to it than they are, since it knows only
what it is given. "Oxford105k" is this with 100,000 more images in the index.

Source: Philbin et al., "Object retrieval with large vocabularies and fast
spatial matching", CVPR 2007; the rule of the benchmark's compute_ap.cpp.
"""

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class OxfordMetrics:
    """Metrics of Q queries, as fractions.

    Attributes:
        average_precision: float64 [Q]; NaN for queries without positives.
        num_found: int64 [Q], positives that the lists hold.
        num_positives: int64 [Q].
    """

    average_precision: np.ndarray
    num_found: np.ndarray
    num_positives: np.ndarray

    @property
    def mean_average_precision(self) -> float:
        """Mean over queries with positives; NaN if there is none."""
        counted = self.average_precision[~np.isnan(self.average_precision)]
        return float(counted.mean()) if len(counted) else float("nan")


def list_average_precision(
    ranking: Sequence[Hashable],
    positives: Sequence[Hashable],
    junk: Sequence[Hashable] = (),
) -> float:
    """Returns AP of a list; see the module for the formula.

    Args:
        ranking: ids of index images, best first: all of them or the first.
        positives: ids of the good and ok images.
        junk: ids of the images that do not count.

    Returns:
        A value from 0 to 1; NaN without positives.

    Raises:
        ValueError: the list holds an image twice, or one is both positive
            and junk.
    """
    return _average_precision(ranking, positives, junk)[0]


def evaluate_oxford(
    rankings: Sequence[Sequence[Hashable]],
    positives: Sequence[Sequence[Hashable]],
    junk: Sequence[Sequence[Hashable]],
) -> OxfordMetrics:
    """Evaluates the lists of Q queries, which may differ in length.

    Args:
        rankings: for each query ids of index images, best first.
        positives: for each query the ids of good and ok images.
        junk: for each query the ids of the images that do not count.

    Raises:
        ValueError: as `list_average_precision`, or there are not as many
            entries of each.
    """
    if not len(rankings) == len(positives) == len(junk):
        raise ValueError(
            "`positives` and `junk` must have one entry a ranking. Received: "
            f"{len(positives)} and {len(junk)} for {len(rankings)}"
        )
    rows = [_average_precision(*row) for row in zip(rankings, positives, junk)]
    averages, found, counts = zip(*rows) if rows else ((), (), ())
    return OxfordMetrics(
        np.array(averages, np.float64),
        np.array(found, np.int64),
        np.array(counts, np.int64),
    )


def _average_precision(
    ranking: Sequence[Hashable],
    positives: Sequence[Hashable],
    junk: Sequence[Hashable],
) -> tuple[float, int, int]:
    """Returns AP, positives in the list, and positives."""
    # Sets of plain values: names and numbers alike, and no array of all
    # index images is searched for a list of a few.
    ranking = np.asarray(ranking).tolist()
    positives, junk = (
        set(np.asarray(positives).tolist()),
        set(np.asarray(junk).tolist()),
    )
    if len(set(ranking)) != len(ranking):
        raise ValueError(
            "`ranking` must hold each image once. Received: "
            f"{len(ranking) - len(set(ranking))} repeated of {len(ranking)}"
        )
    if positives & junk:
        raise ValueError(
            "`positives` and `junk` must not overlap. Received both: "
            f"{sorted(positives & junk)[:5]}"
        )
    if not positives:
        return float("nan"), 0, 0
    hits = np.array([i in positives for i in ranking if i not in junk], bool)
    ranks = np.flatnonzero(hits)
    found = np.arange(len(ranks))
    left = np.where(ranks == 0, 1.0, found / np.maximum(ranks, 1))
    right = (found + 1) / (ranks + 1)
    area = float(np.sum((left + right) / 2)) / len(positives)
    return area, len(ranks), len(positives)
