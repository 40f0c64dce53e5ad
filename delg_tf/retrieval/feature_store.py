"""Feature files of a folder, found by image name."""

import functools
import pathlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_directory
from delg_tf.common.progress import Progress
from delg_tf.extraction import feature_io
from delg_tf.extraction.feature_io import GLOBAL_SUFFIX, LOCAL_SUFFIX
from delg_tf.extraction.local_features import LocalFeatures
from delg_tf.retrieval.index import NORM_TOLERANCE

# Names shown when many files are bad.
_NAMES_SHOWN = 10


class FeatureStore:
    """Reads `<name>.delg_global` and `<name>.delg_local` of one folder.

    Parsed local features are kept, because re-ranking meets the same images
    for many queries. Safe to use from several threads.
    """

    def __init__(self, features_dir: PathLike, cache_size: int = 1024):
        """Opens the folder.

        Args:
            features_dir: the folder; a name may contain subfolders.
            cache_size: number of images whose local features are kept, the
                least recently used leaving first. An image with 1,000
                features of 128 numbers takes half a megabyte.

        Raises:
            InputError: there is no such folder.
        """
        self.directory = existing_directory(features_dir, "features folder")
        # A cache of its own for each store, not for the class.
        self._local = functools.lru_cache(maxsize=cache_size)(self._read_local)

    def global_path(self, name: str) -> pathlib.Path:
        """Returns where the global descriptor of an image is."""
        return self.directory / f"{name}{GLOBAL_SUFFIX}"

    def local_path(self, name: str) -> pathlib.Path:
        """Returns where the local features of an image are."""
        return self.directory / f"{name}{LOCAL_SUFFIX}"

    def list_names(self) -> list[str]:
        """Returns the sorted names of all images with a global descriptor.

        Raises:
            InputError: there is none.
        """
        names = sorted(
            path.relative_to(self.directory)
            .as_posix()
            .removesuffix(GLOBAL_SUFFIX)
            for path in self.directory.rglob(f"*{GLOBAL_SUFFIX}")
        )
        if not names:
            raise InputError(f"{self.directory} has no *{GLOBAL_SUFFIX} file.")
        return names

    def require_local(self, names: Iterable[str]) -> None:
        """Checks that images have a file of local features.

        Raises:
            InputError: files are missing; the message names them.
        """
        _require(names, self.local_path, self.directory, LOCAL_SUFFIX)

    def local_features(self, name: str) -> LocalFeatures:
        """Returns the local features of an image.

        Raises:
            InputError: the file is missing or damaged.
        """
        return self._local(name)

    def _read_local(self, name: str) -> LocalFeatures:
        return feature_io.read_local_features(self.local_path(name))

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
        _require(names, self.global_path, self.directory, GLOBAL_SUFFIX)
        descriptors = np.zeros((len(names), 0), np.float32)
        problems = []
        with Progress(len(names), "Reading descriptors", "file") as progress:
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
                    problems.append(str(error))
                progress.advance()
        if problems:
            raise InputError(_summary("bad global descriptors", problems))
        return descriptors

    def _read_global(self, name: str) -> np.ndarray:
        path = self.global_path(name)
        descriptor = feature_io.read_global_descriptor(path)
        norm = float(np.linalg.norm(descriptor))
        if descriptor.size and not abs(norm - 1.0) <= NORM_TOLERANCE:
            raise InputError(
                f"{path}: the descriptor is not L2-normalised (norm {norm:g})."
            )
        return descriptor

    def _check_dimension(
        self, name: str, descriptor: np.ndarray, others: np.ndarray
    ) -> None:
        if descriptor.size not in (0, others.shape[1]):
            raise InputError(
                f"{self.global_path(name)}: the descriptor has "
                f"{descriptor.size} dimensions, others have "
                f"{others.shape[1]}. Extract all with the same model."
            )


def _require(
    names: Iterable[str],
    path_of: Callable[[str], pathlib.Path],
    directory: pathlib.Path,
    suffix: str,
) -> None:
    missing = [name for name in names if not path_of(name).is_file()]
    if missing:
        raise InputError(
            _summary(f"files *{suffix} missing in {directory}", missing)
        )


def _summary(what: str, items: Sequence[str]) -> str:
    shown = "; ".join(items[:_NAMES_SHOWN])
    more = len(items) - _NAMES_SHOWN
    return f"{len(items)} {what}: {shown}" + (
        f"; and {more} more." if more > 0 else ""
    )
