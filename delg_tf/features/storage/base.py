"""What all places of features have in common."""

import abc
import pathlib

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.local_features import LocalFeatures

KINDS = ("global", "local")
Local = LocalFeatures | EncodedFeatures


class FeatureSource(abc.ABC):
    """Features that can be read by the name of their image.

    Safe to use by several threads.

    Attributes:
        path: the folder or file.
    """

    path: pathlib.Path

    @property
    def model(self) -> str:
        """Identity of what the features were extracted with; "" if unknown."""
        return ""

    @abc.abstractmethod
    def names(self, kind: str | None = None) -> list[str]:
        """Returns the sorted names of images.

        Args:
            kind: of `KINDS`: only those that may have such features, as far
                as can be told without opening files; None: all.
        """

    @abc.abstractmethod
    def has(self, name: str, kind: str) -> bool:
        """Whether an image has features of a kind of `KINDS`."""

    @abc.abstractmethod
    def formats(self, names: list[str]) -> tuple[str | None, str | None]:
        """Returns local and global format; None for a kind that is not there.

        Args:
            names: of all images, sorted.
        """

    @abc.abstractmethod
    def missing_text(self, kind: str) -> str:
        """Returns how to call what is missing, in the plural."""

    @abc.abstractmethod
    def file_of(self, name: str, kind: str) -> pathlib.Path:
        """Returns the file in which an image's features are."""

    @abc.abstractmethod
    def read_global(self, name: str) -> np.ndarray:
        """Returns the [D] float32 descriptor.

        Raises:
            InputError: it is missing or damaged.
        """

    @abc.abstractmethod
    def read_encoded(self, name: str) -> EncodedFeatures:
        """Returns the local features as they are stored.

        Raises:
            InputError: they are missing or damaged.
        """

    def read_local(self, name: str) -> LocalFeatures:
        """Returns the local features as numbers.

        Raises:
            InputError: they are missing or damaged.
        """
        return self._decoded(name, decode_binary=True)

    def read_matchable(self, name: str) -> Local:
        """Returns the local features as they are matched fastest.

        Binary codes stay codes, all else becomes numbers.

        Raises:
            InputError: they are missing or damaged.
        """
        return self._decoded(name, decode_binary=False)

    def _decoded(self, name: str, decode_binary: bool) -> Local:
        try:
            encoded = self.read_encoded(name)
            if encoded.local_format == "binary" and not decode_binary:
                return encoded
            return encoded.decode()
        except InputError as error:
            path = self.file_of(name, "local")
            if str(path) in str(error):
                raise
            raise InputError(f"{path}, {name}: {error}") from error


class FeatureSink(abc.ABC):
    """Where features of images are written; a context, which closes it.

    Attributes:
        skipped_path: CSV file for images that have no features.
        is_shared: whether several processes may write to it, each with a
            copy of this object.
    """

    is_shared: bool = True

    skipped_path: pathlib.Path

    @abc.abstractmethod
    def contains(self, name: str) -> bool:
        """Whether everything that is to be written of an image is there.

        Raises:
            InputError: what is there is of another format.
        """

    @abc.abstractmethod
    def write(
        self,
        name: str,
        global_descriptor: np.ndarray | None,
        local: Local | None,
    ) -> None:
        """Writes an image's features; of one thread at a time.

        Raises:
            InputError: they do not fit the format.
            OSError: the disk is full, ...
        """

    def flush(self) -> None:  # noqa: B027 - most have nothing to do.
        """Returns when everything that was written is on the disk."""

    def close(self) -> None:
        """Flushes, and lets others write."""
        self.flush()

    def __enter__(self) -> "FeatureSink":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
