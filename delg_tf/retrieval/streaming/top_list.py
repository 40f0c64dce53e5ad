"""The best images of one query among all that have passed."""

import numpy as np

from delg_tf.retrieval.vectors import rescore


class TopList:
    """Keeps the K best, equal ones by id.

    Attributes:
        ids: int64, at most K, best first.
        similarities: float32, in the same order.
    """

    def __init__(self, length: int):
        self._length = length
        self.ids = np.zeros(0, np.int64)
        self.similarities = np.zeros(0, np.float32)

    def add(self, first: int, scores: np.ndarray) -> None:
        """Takes the next images, whose ids are higher than all before.

        Args:
            first: id of the first.
            scores: float32 [M], their similarities.
        """
        places = np.arange(len(scores))
        if len(self.ids) == self._length:
            # Equal ones come after those that are here.
            places = np.flatnonzero(scores > self.similarities[-1])
        if not len(places):
            return
        self.ids, self.similarities = rescore.best(
            np.concatenate([self.ids, first + places]),
            np.concatenate([self.similarities, scores[places]]),
            self._length,
        )
