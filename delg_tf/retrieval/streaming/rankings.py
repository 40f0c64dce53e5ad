"""What is known of whole rankings without holding them."""

import dataclasses

import numpy as np

from delg_tf.retrieval.results import SearchResults


@dataclasses.dataclass(frozen=True, eq=False)
class StreamedRankings:
    """Tops of Q rankings of N images, and places of the labelled images.

    Attributes:
        results: the first K images of each ranking.
        labelled: for each query int64 [L], ids of images, ascending.
        places: for each query int64 [L], their places in the whole ranking,
            from 0: what `np.argsort(ranking)[labelled]` would be.
    """

    results: SearchResults
    labelled: tuple[np.ndarray, ...]
    places: tuple[np.ndarray, ...]

    def places_of(self, row: int, ids: np.ndarray) -> np.ndarray:
        """Returns places of labelled images.

        Args:
            row: the query.
            ids: int64 [M].

        Returns:
            int64 [M], in the order of `ids`.

        Raises:
            ValueError: one of them was not labelled.
        """
        known, ids = self.labelled[row], np.asarray(ids, np.int64)
        found = np.searchsorted(known, ids)
        if not np.isin(ids, known).all():
            missing = ids[~np.isin(ids, known)]
            raise ValueError(
                "`ids` must be of labelled images. Received: "
                f"{missing[:5].tolist()}"
            )
        return self.places[row][found]
