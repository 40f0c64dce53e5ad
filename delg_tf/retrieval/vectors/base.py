"""What all kinds of stored descriptors have in common."""

import abc

import numpy as np

# In places of a list that has fewer images than were asked for.
NO_ROW = -1
NO_SIMILARITY = -np.inf


class Vectors(abc.ABC):
    """N descriptors of D numbers that never change, in files of a folder.

    Similarity is the inner product, which is the cosine, because descriptors
    are L2-normalised. Rows of images without a descriptor are zeros.

    Safe to use by several threads.
    """

    @abc.abstractmethod
    def __len__(self) -> int:
        """Returns the number of rows, N."""

    @property
    @abc.abstractmethod
    def dimension(self) -> int:
        """Length of a descriptor, D."""

    @property
    @abc.abstractmethod
    def is_exact(self) -> bool:
        """Whether `search` finds the best among what is stored, always."""

    @abc.abstractmethod
    def search(
        self,
        queries: np.ndarray,
        k: int,
        allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Finds the most similar rows of each query.

        Args:
            queries: float32 [Q, D], L2-normalised.
            k: number of rows for each query, 1 or more; may exceed N.
            allowed: bool [N], rows that may be found; None: all.

        Returns:
            rows: int64 [Q, k], most similar first, equal ones by row;
                `NO_ROW` after the last.
            similarities: float32 [Q, k], in the same order; `NO_SIMILARITY`
                after the last. An approximate kind may find fewer than there
                are.
        """

    @abc.abstractmethod
    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Returns descriptors as they are stored.

        Args:
            rows: int64 [M].

        Returns:
            float32 [M, D]; rounded or approximated where the kind does so.
        """

    def release_memory(self) -> None:  # noqa: B027
        """Lets go of memory that mapped files fill while they are read."""

    @property
    @abc.abstractmethod
    def memory_bytes(self) -> int:
        """Bytes of memory that a search needs to be at hand."""
