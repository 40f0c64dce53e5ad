"""Folders with files for each image, official or packed."""

import os
import pathlib

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_directory
from delg_tf.features import feature_io
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.compact.image_features import CompactImage
from delg_tf.features.compact.packed_file import (
    PACKED_SUFFIX,
    read_header,
    read_packed,
    read_packed_local,
    write_packed,
)
from delg_tf.features.feature_io import (
    DELF_SUFFIX,
    GLOBAL_SUFFIX,
    LOCAL_SUFFIX,
)
from delg_tf.features.storage.base import FeatureSink, FeatureSource, Local
from delg_tf.features.storage.skipped import SKIPPED_FILE

# Official files by what they hold. The first is the one to be missed.
_OFFICIAL = {
    "global": (GLOBAL_SUFFIX,),
    "local": (LOCAL_SUFFIX, DELF_SUFFIX),
}
OUR_SUFFIXES = {GLOBAL_SUFFIX, LOCAL_SUFFIX, DELF_SUFFIX, PACKED_SUFFIX}


class FolderSource(FeatureSource):
    """Reads a folder; of an image with files of both makes the official ones.

    Raises:
        InputError: there is no such folder.
    """

    def __init__(self, features_dir: PathLike):
        self.path = existing_directory(features_dir, "features folder")

    def names(self, kind: str | None = None) -> list[str]:
        """Returns the names of which there are files."""
        official = _OFFICIAL if kind is None else {kind: _OFFICIAL[kind]}
        suffixes = {PACKED_SUFFIX}.union(*official.values())
        found = set()
        for folder, _, names in os.walk(self.path):
            for name in names:
                stem, suffix = os.path.splitext(name)
                if suffix in suffixes:
                    path = pathlib.Path(folder, stem)
                    found.add(path.relative_to(self.path).as_posix())
        return sorted(found)

    def has(self, name: str, kind: str) -> bool:
        """Whether there is an official file or a packed one that has it."""
        path = self.file_of(name, kind)
        if path.suffix != PACKED_SUFFIX:
            return path.is_file()
        try:
            return _format_of(path, kind) is not None
        except InputError:
            # Damaged, which reading tells.
            return True

    def formats(self, names: list[str]) -> tuple[str | None, str | None]:
        """Returns the formats of the first image that has such features."""
        local = (self._format_of(name, "local") for name in names)
        vector = (self._format_of(name, "global") for name in names)
        return next(filter(None, local), None), next(filter(None, vector), None)

    def missing_text(self, kind: str) -> str:
        """Names the official file."""
        return f"files *{_OFFICIAL[kind][0]} missing in {self.path}"

    def file_of(self, name: str, kind: str) -> pathlib.Path:
        """Returns the file that there is, or else the official one."""
        first, *others = _OFFICIAL[kind]
        official = self.path / f"{name}{first}"
        if not official.is_file():
            for suffix in (*others, PACKED_SUFFIX):
                path = self.path / f"{name}{suffix}"
                if path.is_file():
                    return path
        return official

    def read_global(self, name: str) -> np.ndarray:
        """Reads the descriptor from its file."""
        path = self.file_of(name, "global")
        if path.suffix != PACKED_SUFFIX:
            return feature_io.read_global_descriptor(path)
        vector = read_packed(path).global_descriptor
        if vector is None:
            raise InputError(f"{path} has no global descriptor.")
        return vector.astype(np.float32)

    def read_encoded(self, name: str) -> EncodedFeatures:
        """Reads local features; official ones are float32."""
        path = self.file_of(name, "local")
        if path.suffix != PACKED_SUFFIX:
            return EncodedFeatures.encode(
                feature_io.read_local_features(path), "float32"
            )
        return read_packed_local(path)

    def _decoded(self, name: str, decode_binary: bool) -> Local:
        """Reads official files without a way round."""
        path = self.file_of(name, "local")
        if path.suffix != PACKED_SUFFIX:
            return feature_io.read_local_features(path)
        return super()._decoded(name, decode_binary)

    def _format_of(self, name: str, kind: str) -> str | None:
        path = self.file_of(name, kind)
        if path.suffix != PACKED_SUFFIX:
            return "float32" if path.is_file() else None
        try:
            return _format_of(path, kind)
        except InputError:
            return None


class OfficialFiles(FeatureSink):
    """Writes `.delg_global` and `.delg_local` or `.delf` files.

    Args:
        output: the folder, created if missing.
        with_global: whether images are complete with a global descriptor only.
        with_local: the same of local features.
        local_suffix: extension of the files of local features.
    """

    def __init__(
        self,
        output: PathLike,
        with_global: bool = True,
        with_local: bool = True,
        local_suffix: str = LOCAL_SUFFIX,
    ):
        self._output = pathlib.Path(os.path.abspath(output))
        self._local_suffix = local_suffix
        self._suffixes = [GLOBAL_SUFFIX] * with_global
        self._suffixes += [local_suffix] * with_local
        self.skipped_path = self._output / SKIPPED_FILE

    def contains(self, name: str) -> bool:
        """Whether the files exist."""
        return all(
            # Unlike pathlib's, it takes any name.
            os.path.exists(self._output / f"{name}{suffix}")
            for suffix in self._suffixes
        )

    def write(
        self,
        name: str,
        global_descriptor: np.ndarray | None,
        local: Local | None,
    ) -> None:
        """Writes the files, each atomically."""
        stem = f"{self._output / name}"
        if isinstance(local, EncodedFeatures):
            local = local.decode()
        if global_descriptor is not None:
            feature_io.write_global_descriptor(
                f"{stem}{GLOBAL_SUFFIX}", global_descriptor
            )
        if local is not None:
            feature_io.write_local_features(
                f"{stem}{self._local_suffix}", local
            )


class PackedFiles(FeatureSink):
    """Writes `.delg_packed` files.

    Args:
        output: the folder, created if missing.
        local_format: of local features; None: they have none.
        global_format: of global descriptors; None: they have none.
    """

    def __init__(
        self,
        output: PathLike,
        local_format: str | None,
        global_format: str | None = "float32",
    ):
        self._output = pathlib.Path(os.path.abspath(output))
        self._formats = local_format, global_format
        self.skipped_path = self._output / SKIPPED_FILE

    def contains(self, name: str) -> bool:
        """Whether the file exists, is no ruin, and has the formats."""
        path = self._output / f"{name}{PACKED_SUFFIX}"
        if not os.path.exists(path):
            return False
        try:
            header = read_header(path)
        except InputError:
            return False
        found = header.local_format, header.global_format
        if found != self._formats:
            raise InputError(
                f"{path} has local features as {found[0] or 'none'} and a "
                f"global descriptor as {found[1] or 'none'}; this run would "
                f"write {self._formats[0] or 'none'} and "
                f"{self._formats[1] or 'none'}. Choose another folder."
            )
        return True

    def write(
        self,
        name: str,
        global_descriptor: np.ndarray | None,
        local: Local | None,
    ) -> None:
        """Writes the file, atomically."""
        local_format, global_format = self._formats
        image = CompactImage.make(
            global_descriptor,
            local,
            local_format or "float32",
            global_format or "float32",
        )
        write_packed(self._output / f"{name}{PACKED_SUFFIX}", image)


def _format_of(path: pathlib.Path, kind: str) -> str | None:
    header = read_header(path)
    return header.local_format if kind == "local" else header.global_format
