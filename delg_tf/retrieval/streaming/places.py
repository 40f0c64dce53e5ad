"""Places of some images in a whole ranking, by counting who is before them."""

import numpy as np


class PlaceCounter:
    """Counts, for the labelled images of one query.

    Before an image come those with a higher similarity, and those with the
    same and a lower id.
    """

    def __init__(self, ids: np.ndarray, similarities: np.ndarray):
        """Takes the images.

        Args:
            ids: int64 [L].
            similarities: float32 [L], theirs to the query.
        """
        self._ids = ids
        self._similarities = similarities
        self.places = np.zeros(len(ids), np.int64)

    def add(self, first: int, scores: np.ndarray) -> None:
        """Takes the next images.

        Args:
            first: id of the first.
            scores: float32 [M], their similarities.
        """
        if not len(self._ids):
            return
        ordered = np.sort(scores)
        above = np.searchsorted(ordered, self._similarities, side="right")
        self.places += len(scores) - above
        ties = above - np.searchsorted(ordered, self._similarities)
        last = first + len(scores)
        self.places += np.where(self._ids >= last, ties, 0)
        here = (self._ids >= first) & (self._ids < last) & (ties > 1)
        for i in np.flatnonzero(here):
            before = scores[: self._ids[i] - first]
            self.places[i] += np.sum(before == self._similarities[i])
