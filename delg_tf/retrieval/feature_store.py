"""Features of a folder of files or of a store, found by image name."""

import functools
import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.common.progress import Progress
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.feature_io import GLOBAL_SUFFIX
from delg_tf.features.local_features import LocalFeatures
from delg_tf.features.storage.base import FeatureSource, Local
from delg_tf.features.storage.choice import open_source
from delg_tf.retrieval.descriptors import NORM_TOLERANCE

# Names shown when many files are bad.
_NAMES_SHOWN = 10


class FeatureStore:
    """Reads features from wherever extraction has put them.

    That is a folder of official (`.delg_global`, `.delg_local`) or packed
    files (`.delg_packed`), or a single-file store; the path tells which. An
    index with local features is a source, too.

    Local features are kept, binary ones as codes and others decoded, because
    re-ranking meets the same images for many queries. Safe to use from
    several threads.

    Attributes:
        source: where they are.
        directory: the folder, or the store's file.
    """

    def __init__(
        self, features_dir: PathLike | FeatureSource, cache_size: int = 1024
    ):
        """Opens the folder or file.

        Args:
            features_dir: the folder, in which a name may contain subfolders,
                or the store's file, or what has been opened.
            cache_size: number of images whose local features are kept, the
                least recently used leaving first. An image with 1,000
                features of 128 numbers takes half a megabyte.

        Raises:
            InputError: there is no such folder or store.
        """
        self._is_opened_here = not isinstance(features_dir, FeatureSource)
        if self._is_opened_here:
            self.source = open_source(features_dir)
        else:
            self.source = features_dir
        self.directory = self.source.path
        # A cache of its own for each store, not for the class.
        self._local = functools.lru_cache(maxsize=cache_size)(
            self.source.read_matchable
        )

    @property
    def address(self) -> str:
        """What another process opens the same features by.

        Raises:
            InputError: they were given opened, as those of an index are.
        """
        if not self._is_opened_here:
            raise InputError(
                f"{self.directory}: several processes can verify features in "
                "folders and stores only. Leave --num_processes at 0."
            )
        return os.path.abspath(self.directory)

    def global_path(self, name: str) -> pathlib.Path:
        """Returns the file in which the global descriptor of an image is."""
        return self.source.file_of(name, "global")

    def local_path(self, name: str) -> pathlib.Path:
        """Returns the file in which the local features of an image are."""
        return self.source.file_of(name, "local")

    def list_names(self) -> list[str]:
        """Returns the sorted names of all images with a global descriptor.

        Raises:
            InputError: there is none.
        """
        names = self.source.names("global")
        if not names:
            raise InputError(
                f"{self.directory} has no *{GLOBAL_SUFFIX} file and no other "
                "global descriptors."
            )
        return names

    def require_global(self, names: Iterable[str]) -> None:
        """Checks that images have global descriptors.

        Raises:
            InputError: some have none; the message names them.
        """
        self._require(names, "global")

    def require_local(self, names: Iterable[str]) -> None:
        """Checks that images have local features.

        Raises:
            InputError: some have none; the message names them.
        """
        self._require(names, "local")

    def local_features(self, name: str) -> LocalFeatures:
        """Returns the local features of an image.

        Raises:
            InputError: the file is missing or damaged.
        """
        features = self.matchable_features(name)
        if isinstance(features, EncodedFeatures):
            return features.decode()
        return features

    def matchable_features(self, name: str) -> Local:
        """Returns the local features of an image: binary codes, or numbers.

        Raises:
            InputError: the file is missing or damaged.
        """
        return self._local(name)

    def global_descriptors(self, names: Sequence[str]) -> np.ndarray:
        """Reads global descriptors.

        Args:
            names: the images, at least one.

        Returns:
            float32 [N, D], in the order of the names: L2-normalised, or zeros
            for an image whose descriptor is empty because it is too small for
            one. D is 0 if all are.

        Raises:
            InputError: files are missing or damaged, differ in dimension, or
                are not L2-normalised; the message names them.
        """
        if not names:
            raise ValueError("`names` must not be empty. Received: none.")
        self._require(names, "global")
        with Progress(len(names), "Reading descriptors", "file") as progress:
            descriptors, problems = self.readable_descriptors(
                names, progress=progress
            )
        if problems:
            problems = list(problems.values())
            raise InputError(_summary("bad global descriptors", problems))
        return descriptors

    def readable_descriptors(
        self,
        names: Sequence[str],
        dimension: int | None = None,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, dict[str, str]]:
        """Reads global descriptors as far as they can be read.

        Args:
            names: the images, at least one.
            dimension: D; None: that of the first which is not empty.
            progress: counts the images; None if somebody else does.

        Returns:
            descriptors: as `global_descriptors`; zeros for those that cannot
                be read.
            problems: what is wrong, by name.

        Raises:
            InputError: images have none; the message names them.
        """
        self.require_global(names)
        descriptors = np.zeros((len(names), dimension or 0), np.float32)
        problems = {}
        for row, name in enumerate(names):
            try:
                descriptor = self._read_global(name)
                if descriptor.size and not descriptors.size:
                    shape = (len(names), descriptor.size)
                    descriptors = np.zeros(shape, np.float32)
                self._check_dimension(name, descriptor, descriptors)
                if descriptor.size:
                    descriptors[row] = descriptor
            except InputError as error:
                problems[name] = str(error)
            if progress is not None:
                progress.advance()
        return descriptors, problems

    def _read_global(self, name: str) -> np.ndarray:
        descriptor = self.source.read_global(name)
        norm = float(np.linalg.norm(descriptor))
        if descriptor.size and not abs(norm - 1.0) <= NORM_TOLERANCE:
            raise InputError(
                f"{self._place(name)}: the descriptor is not L2-normalised "
                f"(norm {norm:g})."
            )
        return descriptor

    def _check_dimension(
        self, name: str, descriptor: np.ndarray, others: np.ndarray
    ) -> None:
        if descriptor.size not in (0, others.shape[1]):
            raise InputError(
                f"{self._place(name)}: the descriptor has "
                f"{descriptor.size} dimensions, others have "
                f"{others.shape[1]}. Extract all with the same model."
            )

    def _place(self, name: str) -> str:
        return f"{self.global_path(name)} ({name})"

    def _require(self, names: Iterable[str], kind: str) -> None:
        missing = [name for name in names if not self.source.has(name, kind)]
        if missing:
            what = self.source.missing_text(kind)
            raise InputError(_summary(what, missing))


def _summary(what: str, items: Sequence[str]) -> str:
    shown = "; ".join(items[:_NAMES_SHOWN])
    more = len(items) - _NAMES_SHOWN
    return f"{len(items)} {what}: {shown}" + (
        f"; and {more} more." if more > 0 else ""
    )
