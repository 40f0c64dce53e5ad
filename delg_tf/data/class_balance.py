"""Class-balanced sampling: how often each image comes in each epoch.

Google Landmarks v2 is long-tailed. With a balance of b in [0, 1], a class of n
images is drawn in proportion to n^(1 - b): 0 takes the data as it is, 1 every
class equally often (as in "Decoupling Representation and Classifier for
Long-Tailed Recognition", ICLR 2020, section 3).

An image of weight w, its expected number of visits in an epoch, has been
visited floor(w e + h) times after e epochs. h in [0, 1) is a fixed number of
its own; those of a class are spread evenly. So the visits of an epoch need no
state, a class gets its share of every epoch to within one image, and over the
epochs its images come equally often, to within one visit. Numbers are integers
in units of 2^-24, so that the graph and this module agree to the bit.
"""

import dataclasses

import numpy as np
import tensorflow as tf

_BITS = 24


@dataclasses.dataclass(frozen=True)
class VisitPlan:
    """Visits of each image.

    Attributes:
        weights: int64 [N], expected visits in an epoch, in 2^-24.
        phases: int64 [N], h of the formula above, in 2^-24.
    """

    weights: np.ndarray
    phases: np.ndarray

    def visits_before(self, epoch: int) -> int:
        """Returns the number of images in all epochs before this one."""
        return int(self._before(epoch).sum())

    def visits_of(self, epoch: int) -> np.ndarray:
        """Returns the visits of each image in an epoch, int64 [N]."""
        return self._before(epoch + 1) - self._before(epoch)

    def _before(self, epoch: int) -> np.ndarray:
        return (self.weights * epoch + self.phases) >> _BITS

    def locate(self, position: int) -> tuple[int, int]:
        """Finds a position of the stream.

        Args:
            position: number of images before it, from the first epoch on.

        Returns:
            Epoch and number of images before it in that epoch.
        """
        epoch = position // len(self.weights)  # Nearly.
        while self.visits_before(epoch) > position:
            epoch -= 1
        while self.visits_before(epoch + 1) <= position:
            epoch += 1
        return epoch, position - self.visits_before(epoch)


def visits_in_graph(
    weights: tf.Tensor, phases: tf.Tensor, epoch: tf.Tensor, image: tf.Tensor
) -> tf.Tensor:
    """Returns the visits of images in an epoch.

    Args:
        weights: int64 [N], of a `VisitPlan`.
        phases: int64 [N], likewise.
        epoch: int64 scalar.
        image: int64, numbers of images.

    Returns:
        int64, shaped like `image`.
    """
    weight = tf.gather(weights, image)
    before = weight * epoch + tf.gather(phases, image)
    # Nothing is negative, so this rounds down as the shifts do.
    one = tf.constant(1 << _BITS, tf.int64)
    return (before + weight) // one - before // one


def plan_visits(labels: np.ndarray, balance: float, seed: int) -> VisitPlan:
    """Decides how often images are visited.

    Args:
        labels: int64 [N], not negative.
        balance: b of the module's text, in [0, 1].
        seed: of the order in which a class's images come.

    Raises:
        ValueError: `balance` is out of range.
    """
    if not 0 <= balance <= 1:
        raise ValueError(f"`balance` must be in [0, 1]. Received: {balance}.")
    _, of_class, counts = np.unique(
        labels, return_inverse=True, return_counts=True
    )
    share = counts ** (1.0 - balance)
    weights = len(labels) * share / share.sum() / counts
    # Each class's images in random order, and how far along each one is.
    random = np.random.default_rng([seed, 0xBA1A])
    order = np.lexsort((random.random(len(labels)), of_class))
    rank = np.empty(len(labels))
    rank[order] = np.arange(len(labels)) - np.repeat(
        np.cumsum(counts) - counts, counts
    )
    start = random.random(len(counts))
    phases = (rank + start[of_class]) / counts[of_class]
    one = 1 << _BITS
    return VisitPlan(
        np.maximum(1, np.rint(weights * one)).astype(np.int64)[of_class],
        np.minimum(phases * one, one - 1).astype(np.int64),
    )
