"""Where descriptors come from that are streamed, block by block."""

import abc
from collections.abc import Sequence

import numpy as np


class DescriptorSource(abc.ABC):
    """N descriptors of D numbers, in the order of their ids.

    Read by one thread at a time.
    """

    @property
    @abc.abstractmethod
    def names(self) -> Sequence[str]:
        """Names of the N images; an id is a position here."""

    @property
    @abc.abstractmethod
    def dimension(self) -> int:
        """Length of a descriptor, D."""

    @abc.abstractmethod
    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Returns descriptors of some images.

        Args:
            ids: int64 [M].

        Returns:
            float32 [M, D]; zeros for an image without a descriptor.

        Raises:
            InputError: a descriptor is missing or damaged.
        """

    def block(self, start: int, stop: int) -> np.ndarray:
        """Returns float32 [stop - start, D], the descriptors of neighbours.

        A view where possible, so not to be written to.
        """
        return self.rows(np.arange(start, stop))

    def release(self) -> None:  # noqa: B027
        """Lets go of memory that mapped files have filled by reading."""

    def __len__(self) -> int:
        return len(self.names)
