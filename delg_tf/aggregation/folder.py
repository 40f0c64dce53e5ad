"""Folders of aggregated images: official files, and how they were made."""

import os
import pathlib

from delg_tf.aggregation.config import (
    EXTENSIONS,
    config_text,
    extension_of,
    parse_aggregation_config,
)
from delg_tf.aggregation.representation import (
    Aggregated,
    read_aggregated,
    write_aggregated,
)
from delg_tf.common.errors import InputError
from delg_tf.common.files import (
    PathLike,
    existing_directory,
    read_json,
    write_json,
)
from delg_tf.features.feature_io import GLOBAL_SUFFIX, write_global_descriptor
from delg_tf.protos.aggregation_config_pb2 import AggregationConfig

# The official programs write no such file; ours do without it, too, if they
# are told the configuration.
MANIFEST = "aggregation.json"
FORMAT = "delg_tf.aggregated.1"

# What makes a difference to how two representations compare.
_COMPARED = ("codebook_size", "feature_dimensionality", "aggregation_type")


class AggregatedFolder:
    """Reads aggregated images by name. Safe to use by several threads.

    Attributes:
        directory: the folder.
        config: how the images were made.
        codebook_identity: see `Codebook.identity`; "" if it is not known.
    """

    def __init__(
        self, directory: PathLike, config: AggregationConfig | None = None
    ):
        """Opens a folder.

        Args:
            directory: the folder.
            config: how its images were made, for folders of the official
                programs; None: what the folder's own manifest says.

        Raises:
            InputError: there is no such folder, no manifest and no `config`.
        """
        self.directory = existing_directory(directory, "aggregation folder")
        self.codebook_identity = ""
        path = self.directory / MANIFEST
        if path.is_file():
            stored, self.codebook_identity, _ = _read_manifest(path)
            config = config or stored
        if config is None:
            raise InputError(
                f"{self.directory} has no {MANIFEST}, which tells how the "
                "files were made. Pass --aggregation_config_path."
            )
        self.config = config
        self._extension = self._find_extension()

    def names(self) -> list[str]:
        """Returns the sorted names of the images.

        Raises:
            InputError: there is none.
        """
        found = []
        for folder, _, files in os.walk(self.directory):
            for file in files:
                stem, extension = os.path.splitext(file)
                if extension == self._extension:
                    path = pathlib.Path(folder, stem)
                    found.append(path.relative_to(self.directory).as_posix())
        if not found:
            raise InputError(
                f"{self.directory} has no *{self._extension} file. "
                "tools/aggregate_features.py makes them."
            )
        return sorted(found)

    def path_of(self, name: str) -> pathlib.Path:
        """Returns the file of an image."""
        return self.directory / f"{name}{self._extension}"

    def read(self, name: str) -> Aggregated:
        """Returns the representation of an image.

        Raises:
            InputError: its file is missing or damaged.
        """
        return read_aggregated(self.path_of(name), self.config)

    def _find_extension(self) -> str:
        """Regional files and others compare; take those that are there."""
        wanted = extension_of(self.config)
        other = AggregationConfig()
        other.CopyFrom(self.config)
        other.use_regional_aggregation = (
            not self.config.use_regional_aggregation
        )
        alternative = extension_of(other)
        for extension in (wanted, alternative):
            if next(self.directory.rglob(f"*{extension}"), None):
                return extension
        return wanted


class AggregatedWriter:
    """Writes a folder that `AggregatedFolder` reads; goes on with an old one.

    Args:
        directory: the folder, created if missing.
        config: how images are made.
        codebook_identity: see `Codebook.identity`.
        regions: where regions come from, for people; "" if there are none.
        as_global: whether VLAD is written as global descriptors
            (`.delg_global`), which indexes and searches of these take.

    Raises:
        InputError: the folder holds images that were made in another way, or
            global descriptors are to be made of something else than
            L2-normalised VLAD.
    """

    def __init__(
        self,
        directory: PathLike,
        config: AggregationConfig,
        codebook_identity: str,
        regions: str = "",
        as_global: bool = False,
    ):
        if as_global and not (
            config.aggregation_type == AggregationConfig.VLAD
            and config.use_l2_normalization
        ):
            raise InputError(
                "Only VLAD with use_l2_normalization can be written as global "
                "descriptors."
            )
        self.directory = pathlib.Path(directory)
        self._as_global = as_global
        self._extension = GLOBAL_SUFFIX if as_global else extension_of(config)
        path = self.directory / MANIFEST
        # The place of the codebook and the batch make no difference.
        made = (_essential(config), codebook_identity, regions)
        if path.is_file():
            stored, *others = _read_manifest(path)
            if (_essential(stored), *others) != made:
                raise InputError(
                    f"{self.directory} has images that were aggregated by "
                    "another configuration or codebook. Choose another folder."
                )
            return
        if self.directory.is_dir() and any(
            file.suffix in (*EXTENSIONS, GLOBAL_SUFFIX)
            for file in self.directory.rglob("*.*")
        ):
            raise InputError(
                f"{self.directory} has other descriptors, and no {MANIFEST} "
                "that tells how they were made. Choose another folder."
            )
        manifest = {
            "format": FORMAT,
            "config": config_text(config),
            "codebook_sha256": codebook_identity,
            "regions": regions,
        }
        write_json(path, manifest)

    def path_of(self, name: str) -> pathlib.Path:
        """Returns the file of an image."""
        return self.directory / f"{name}{self._extension}"

    def contains(self, name: str) -> bool:
        """Whether the image is there."""
        return self.path_of(name).is_file()

    def write(self, name: str, aggregated: Aggregated) -> None:
        """Writes an image, atomically."""
        path = self.path_of(name)
        if not self._as_global:
            write_aggregated(path, aggregated)
            return
        # No features: an empty descriptor, as of images that are too small.
        vector = aggregated.descriptors[: 0 if aggregated.is_empty else None]
        write_global_descriptor(path, vector)


def check_comparable(
    query: AggregationConfig,
    index: AggregationConfig,
    identities: tuple[str, str] = ("", ""),
) -> None:
    """Checks that images of two configurations can be compared.

    Args:
        query: of the queries.
        index: of the index images.
        identities: of the two codebooks; "" if one is not known.

    Raises:
        InputError: they cannot.
    """
    for field in _COMPARED:
        values = getattr(query, field), getattr(index, field)
        if values[0] != values[1]:
            raise InputError(
                f"The queries were aggregated with {field} {values[0]}, the "
                f"index images with {values[1]}. Aggregate both alike."
            )
    if all(identities) and identities[0] != identities[1]:
        raise InputError(
            "Queries and index images were aggregated with two codebooks. "
            "Aggregate both with the same one."
        )


def _read_manifest(path: pathlib.Path) -> tuple[AggregationConfig, str, str]:
    manifest = read_json(path)
    try:
        if manifest["format"] != FORMAT:
            raise InputError(f"it is {manifest['format']}, not {FORMAT}")
        return (
            parse_aggregation_config(manifest["config"]),
            str(manifest["codebook_sha256"]),
            str(manifest["regions"]),
        )
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"{path} is damaged: {error}") from error


def _essential(config: AggregationConfig) -> AggregationConfig:
    essential = AggregationConfig()
    essential.CopyFrom(config)
    for field in ("codebook_path", "feature_batch_size", "alpha", "tau"):
        essential.ClearField(field)
    if config.aggregation_type != AggregationConfig.VLAD:
        # It belongs to the comparison.
        essential.ClearField("use_l2_normalization")
    return essential
