"""What all indexes of images have in common, wherever they are kept."""

import abc
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.retrieval.index.batches import ImageBatch
from delg_tf.retrieval.index.description import IndexDescription
from delg_tf.retrieval.index.filters import Filter
from delg_tf.retrieval.index.hits import SearchHits
from delg_tf.retrieval.index.settings import IndexSettings

Where = str | Filter | None


class SearchableIndex(abc.ABC):
    """Images that can be searched. Safe to use by several threads."""

    @property
    @abc.abstractmethod
    def settings(self) -> IndexSettings:
        """What all images have in common."""

    @property
    @abc.abstractmethod
    def names(self) -> Sequence[str]:
        """Names of the images; an id is a position here."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Returns the number of images."""

    @abc.abstractmethod
    def matching(self, where: Where = None) -> np.ndarray:
        """Returns the ids of images, int64, ascending.

        Args:
            where: a filter, see `filters.parse_filter`; None: all images.

        Raises:
            InputError: the filter is wrong.
        """

    @abc.abstractmethod
    def search(
        self, queries: np.ndarray, k: int, where: Where = None
    ) -> SearchHits:
        """Finds the most similar images of each query.

        Args:
            queries: float32 [Q, D], L2-normalised; zeros for one without a
                descriptor, for which all images are equally far.
            k: number of images for each query, 1 or more.
            where: a filter that images must pass; None: all may be found.

        Returns:
            K = k images, or as many as pass the filter if those are fewer.
            Images without a descriptor come last, by id.

        Raises:
            InputError: the index is empty, the filter is wrong, or the
                descriptors have another dimension.
            ValueError: shapes do not fit.
        """

    @abc.abstractmethod
    def descriptors(self, names: Sequence[str]) -> np.ndarray:
        """Returns global descriptors as they are stored, float32 [N, D].

        Raises:
            InputError: there is no such image.
        """

    def release_memory(self) -> None:  # noqa: B027
        """Lets go of memory that mapped files fill while they are read.

        Whoever reads all descriptors once calls it on the way; what is needed
        again is read again.
        """

    @property
    def dimension(self) -> int:
        """Length of the descriptors."""
        return self.settings.dimension


class ImageIndex(SearchableIndex):
    """A lasting index, as it was when it was opened or refreshed.

    Attributes:
        place: where it is, as text for messages.
    """

    place: str

    @abc.abstractmethod
    def __contains__(self, name: str) -> bool:
        """Whether there is an image of this name."""

    @abc.abstractmethod
    def local(self, name: str) -> EncodedFeatures:
        """Returns the local features of an image.

        Raises:
            InputError: there is no such image, the index keeps no local
                features, or they are damaged.
        """

    @abc.abstractmethod
    def metadata(self, name: str) -> dict[str, Any]:
        """Returns what is known of an image, a value a column or None.

        Raises:
            InputError: there is no such image.
        """

    def metadata_table(self, columns: Sequence[str]) -> pa.Table:
        """Returns columns of all images, in the order of `names`.

        Args:
            columns: of the metadata.
        """
        rows = [self.metadata(name) for name in self.names]
        schema = pa.schema([self.metadata_schema.field(c) for c in columns])
        return pa.Table.from_pylist(
            [{column: row[column] for column in columns} for row in rows],
            schema,
        )

    @property
    @abc.abstractmethod
    def metadata_schema(self) -> pa.Schema:
        """Columns of the metadata."""

    @abc.abstractmethod
    def describe(self) -> IndexDescription:
        """Returns what the index holds and what it takes."""

    @abc.abstractmethod
    def refresh(self) -> bool:
        """Takes up what was committed since; returns whether there was any."""

    @abc.abstractmethod
    def verify(self) -> list[str]:
        """Reads everything; returns what is damaged, as messages."""


class IndexWriter(abc.ABC):
    """Changes an index; one writer at a time, in one thread at a time.

    A context: leaving it commits, unless by an exception, which undoes what
    was not committed. Methods that raise InputError or ValueError have not
    changed anything; after any other error nothing since the last commit is
    left.
    """

    @property
    @abc.abstractmethod
    def settings(self) -> IndexSettings:
        """What all images have in common."""

    @property
    @abc.abstractmethod
    def is_trained(self) -> bool:
        """Whether the kind of vectors has learnt what it needs, if anything."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Returns the number of images, committed or not."""

    @abc.abstractmethod
    def __contains__(self, name: str) -> bool:
        """Whether there is an image of this name, committed or not."""

    @abc.abstractmethod
    def add(self, batch: ImageBatch, replace: bool = False) -> None:
        """Adds images.

        Args:
            batch: the images.
            replace: whether images of the same names are removed first.

        Raises:
            InputError: names come twice or are there already, features are
                of another model or dimension, local features are missing, or
                columns have other types than before.
            ValueError: shapes do not fit, or descriptors are not normalised.
        """

    @abc.abstractmethod
    def update(self, batch: ImageBatch) -> None:
        """Replaces images, metadata too.

        Raises:
            InputError: as `add`; or there are no such images.
        """

    @abc.abstractmethod
    def remove(self, names: Iterable[str]) -> None:
        """Removes images.

        Raises:
            InputError: there are no such images, or a name comes twice.
        """

    @abc.abstractmethod
    def set_metadata(
        self,
        names: Sequence[str],
        metadata: pa.Table | Mapping[str, Sequence[Any]],
    ) -> None:
        """Sets columns of some images; their other columns stay.

        Args:
            names: N distinct images.
            metadata: N rows.

        Raises:
            InputError: there are no such images, or columns have other types
                than before.
        """

    @abc.abstractmethod
    def train(self, descriptors: np.ndarray | None = None) -> None:
        """Lets a kind of vectors that learns do so, once, before its use.

        Without it the first commit learns from what it adds. Other kinds
        ignore it.

        Args:
            descriptors: float32 [M, D], like those to come; None: those added
                since the last commit.

        Raises:
            InputError: there are too few.
        """

    @abc.abstractmethod
    def commit(self) -> None:
        """Makes all changes visible at once, and lasting."""

    @abc.abstractmethod
    def rollback(self) -> None:
        """Undoes everything since the last commit."""

    @abc.abstractmethod
    def compact(self) -> None:
        """Commits; then drops what was removed and merges what is in parts.

        Ids and search results stay.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Undoes what was not committed, and lets others write."""

    def __enter__(self) -> "IndexWriter":
        return self

    def __exit__(self, kind: type | None, *exception: object) -> None:
        try:
            if kind is None:
                self.commit()
        finally:
            self.close()
