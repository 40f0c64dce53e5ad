"""The files of an inverted index: a folder of arrays and a manifest.

| file | content |
| --- | --- |
| `manifest.json` | format, sizes, configuration, SHA-256 of the others |
| `names.json` | names of the N images |
| `offsets.npy` | int64 [K + 1]: the P postings of word k are those from offset k to k + 1 |
| `images.npy` | int32 [P]: the image of each, rising within a word |
| `residuals.npy` | [P, D] float32 (ASMK); [P, B] uint64 or uint8 (ASMK*), the packed signs |
| `word_counts.npy` | int32 [N]: words of each image |
"""  # noqa: E501

import dataclasses
import pathlib

import numpy as np

from delg_tf.aggregation.config import (
    bytes_per_word,
    parse_aggregation_config,
)
from delg_tf.common.errors import InputError
from delg_tf.common.files import (
    existing_file,
    read_json,
    sha256,
)
from delg_tf.protos.aggregation_config_pb2 import AggregationConfig

FORMAT = "delg_tf.inverted_index.1"
MANIFEST = "manifest.json"

NAMES = "names.json"
ARRAYS = ("offsets", "images", "residuals", "word_counts")


def row_type(config: AggregationConfig) -> tuple[np.dtype, int]:
    """Returns type and length of a stored row."""
    if config.aggregation_type == AggregationConfig.ASMK:
        return np.dtype(np.float32), config.feature_dimensionality
    width = bytes_per_word(config)
    # 64 signs are compared at a time where they fill such numbers.
    if width % 8:
        return np.dtype(np.uint8), width
    return np.dtype(np.uint64), width // 8


def as_stored(rows: np.ndarray, dtype: np.dtype, width: int) -> np.ndarray:
    """Returns rows of an `Aggregated` as the files have them."""
    rows = np.ascontiguousarray(rows)
    if dtype == np.uint64:
        rows = rows.view(np.uint64)
    return rows.reshape(len(rows), width)


@dataclasses.dataclass(frozen=True, eq=False)
class InvertedFiles:
    """The mapped files of an index; see the module for what they hold."""

    directory: pathlib.Path
    names: tuple[str, ...]
    config: AggregationConfig
    codebook_identity: str
    offsets: np.ndarray
    images: np.ndarray
    residuals: np.ndarray
    word_counts: np.ndarray

    @classmethod
    def open(cls, directory: pathlib.Path, verify: bool) -> "InvertedFiles":
        """Maps the files.

        Args:
            directory: the folder.
            verify: whether checksums are compared.

        Raises:
            InputError: they are missing or damaged, or of another version.
        """
        path = directory / MANIFEST
        manifest = read_json(path)
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise InputError(f"{path} is of no inverted index ({FORMAT}).")
        if verify:
            _verify(directory, manifest)
        try:
            config = parse_aggregation_config(manifest["config"])
            files = cls(
                directory.absolute(),
                tuple(read_json(directory / NAMES)),
                config,
                manifest["codebook_sha256"],
                **{name: _map(directory / f"{name}.npy") for name in ARRAYS},
            )
            expected = _shapes(config, manifest)
        except (KeyError, TypeError, InputError) as error:
            raise InputError(f"{directory} is damaged: {error}") from error
        if len(files.names) != manifest["images"]:
            raise InputError(f"{directory} is damaged: {NAMES} has changed.")
        for name, (dtype, shape) in expected.items():
            array = getattr(files, name)
            if array.shape != shape or array.dtype != dtype:
                raise InputError(
                    f"{directory} is damaged: {name}.npy must hold {dtype} of "
                    f"shape {shape}, but holds {array.dtype} of {array.shape}."
                )
        return files

    @property
    def num_bytes(self) -> int:
        """Bytes of the arrays."""
        return sum(getattr(self, name).nbytes for name in ARRAYS)

    def as_stored(self, rows: np.ndarray) -> np.ndarray:
        """Returns rows of an `Aggregated` as they are stored here."""
        return as_stored(rows, *row_type(self.config))


def _shapes(
    config: AggregationConfig, manifest: dict
) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    dtype, width = row_type(config)
    postings = manifest["postings"]
    return {
        "offsets": (np.dtype(np.int64), (config.codebook_size + 1,)),
        "images": (np.dtype(np.int32), (postings,)),
        "residuals": (dtype, (postings, width)),
        "word_counts": (np.dtype(np.int32), (manifest["images"],)),
    }


def _map(path: pathlib.Path) -> np.ndarray:
    existing_file(path)
    try:
        # Plain arrays: the subclass that maps files is slower to index.
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no array file: {error}") from error


def _verify(directory: pathlib.Path, manifest: dict) -> None:
    for name, expected in manifest.get("sha256", {}).items():
        if sha256(existing_file(directory / name)) != expected:
            raise InputError(
                f"{directory / name} is damaged: its checksum differs. Build "
                "the index again."
            )
