"""Several sources one after the other: a data set, then its distractors."""

import itertools
from collections.abc import Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.retrieval.streaming.base import DescriptorSource


class JoinedSource(DescriptorSource):
    """Ids count on from one source to the next."""

    def __init__(self, sources: Sequence[DescriptorSource]):
        """Takes the sources.

        Raises:
            InputError: descriptors of one are longer than of another, or a
                name comes twice.
        """
        dimensions = {source.dimension for source in sources}
        if len(dimensions) != 1:
            raise InputError(
                "Descriptors that are searched together must be of one "
                f"length, but have {sorted(dimensions)}. Extract all with "
                "the same model."
            )
        (self._dimension,) = dimensions
        self._sources = tuple(sources)
        self._names = tuple(
            itertools.chain.from_iterable(part.names for part in sources)
        )
        _require_distinct(self._names)
        self._starts = np.cumsum([0, *map(len, sources)])

    @property
    def names(self) -> Sequence[str]:
        """Names of the images."""
        return self._names

    @property
    def dimension(self) -> int:
        """Length of a descriptor, D."""
        return self._dimension

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Returns descriptors; see `DescriptorSource.rows`."""
        found = np.empty((len(ids), self._dimension), np.float32)
        for source, first, last in self._parts():
            here = (ids >= first) & (ids < last)
            if here.any():
                found[here] = source.rows(ids[here] - first)
        return found

    def block(self, start: int, stop: int) -> np.ndarray:
        """Returns neighbours; see `DescriptorSource.block`."""
        parts = [
            source.block(max(start, first) - first, min(stop, last) - first)
            for source, first, last in self._parts()
            if first < stop and start < last
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def release(self) -> None:
        """Lets go of memory; see `DescriptorSource.release`."""
        for source in self._sources:
            source.release()

    def _parts(self) -> list[tuple[DescriptorSource, int, int]]:
        """Returns the sources with their first id and the one after."""
        ends = self._starts.tolist()
        return list(zip(self._sources, ends, ends[1:]))


def _require_distinct(names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(
                f"The image {name!r} is in two of the parts that are searched "
                "together. Leave it out of one."
            )
        seen.add(name)
