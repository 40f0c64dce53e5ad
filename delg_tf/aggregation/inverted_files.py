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
from collections.abc import Callable, Sequence

import numpy as np

from delg_tf.aggregation.config import (
    bytes_per_word,
    config_text,
    parse_aggregation_config,
)
from delg_tf.aggregation.representation import Aggregated
from delg_tf.common.atomic_directory import atomic_directory
from delg_tf.common.errors import InputError
from delg_tf.common.files import (
    PathLike,
    existing_file,
    read_json,
    sha256,
    write_json,
)
from delg_tf.common.progress import track
from delg_tf.protos.aggregation_config_pb2 import AggregationConfig

FORMAT = "delg_tf.inverted_index.1"
MANIFEST = "manifest.json"

_NAMES = "names.json"
_ARRAYS = ("offsets", "images", "residuals", "word_counts")


def write_inverted_index(
    directory: PathLike,
    names: Sequence[str],
    read: Callable[[str], Aggregated],
    config: AggregationConfig,
    codebook_identity: str = "",
    overwrite: bool = False,
) -> None:
    """Writes an index, atomically.

    Images are read twice: first to count the words, then into their places in
    mapped files, so that the memory taken does not grow with their number.

    Args:
        directory: the folder to write.
        names: of the images, distinct, at least one.
        read: returns the representation of an image: ASMK or ASMK*.
        config: what they were aggregated by.
        codebook_identity: see `Codebook.identity`; "" if it is not known.
        overwrite: whether an older index is replaced.

    Raises:
        InputError: the folder is taken, an image cannot be read, none has
            features, or the configuration is of VLAD.
    """
    if config.aggregation_type == AggregationConfig.VLAD:
        raise InputError(
            "An inverted index is of ASMK or ASMK*; VLAD is searched as a "
            "global descriptor."
        )
    with atomic_directory(directory, MANIFEST, overwrite) as folder:
        offsets = _count(folder, names, read, config.codebook_size)
        _fill(folder, names, read, offsets, config)
        write_json(folder / _NAMES, list(names))
        files = [_NAMES, *(f"{name}.npy" for name in _ARRAYS)]
        manifest = {
            "format": FORMAT,
            "images": len(names),
            "postings": int(offsets[-1]),
            "config": config_text(config),
            "codebook_sha256": codebook_identity,
            "sha256": {name: sha256(folder / name) for name in files},
        }
        write_json(folder / MANIFEST, manifest)


def _count(
    folder: pathlib.Path,
    names: Sequence[str],
    read: Callable[[str], Aggregated],
    num_words: int,
) -> np.ndarray:
    """Writes and returns the offsets; writes the images' counts."""
    images_of = np.zeros(num_words, np.int64)
    counts = np.zeros(len(names), np.int32)
    for number, name in enumerate(track(names, "Counting words", "image")):
        words = read(name).words
        images_of[words] += 1
        counts[number] = len(words)
    offsets = np.concatenate([[0], np.cumsum(images_of)])
    if not offsets[-1]:
        raise InputError(f"None of the {len(names)} images has features.")
    np.save(folder / "offsets.npy", offsets)
    np.save(folder / "word_counts.npy", counts)
    return offsets


def _fill(
    folder: pathlib.Path,
    names: Sequence[str],
    read: Callable[[str], Aggregated],
    offsets: np.ndarray,
    config: AggregationConfig,
) -> None:
    """Writes the postings."""
    total = int(offsets[-1])
    dtype, width = _row_type(config)
    new_array = np.lib.format.open_memmap
    images = new_array(folder / "images.npy", "w+", np.int32, (total,))
    residuals = new_array(folder / "residuals.npy", "w+", dtype, (total, width))
    free = offsets[:-1].copy()
    for number, name in enumerate(track(names, "Inverting", "image")):
        image = read(name)
        places = free[image.words]
        if np.any(places >= offsets[image.words.astype(np.int64) + 1]):
            raise InputError(f"{name} has changed while it was indexed.")
        images[places] = number
        residuals[places] = _comparable(image.descriptors, dtype, width)
        free[image.words] += 1
    for array in (images, residuals):
        array.flush()


def _row_type(config: AggregationConfig) -> tuple[np.dtype, int]:
    """Returns type and length of a stored row."""
    if config.aggregation_type == AggregationConfig.ASMK:
        return np.dtype(np.float32), config.feature_dimensionality
    width = bytes_per_word(config)
    # 64 signs are compared at a time where they fill such numbers.
    if width % 8:
        return np.dtype(np.uint8), width
    return np.dtype(np.uint64), width // 8


def _comparable(rows: np.ndarray, dtype: np.dtype, width: int) -> np.ndarray:
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
                tuple(read_json(directory / _NAMES)),
                config,
                manifest["codebook_sha256"],
                **{name: _map(directory / f"{name}.npy") for name in _ARRAYS},
            )
            expected = _shapes(config, manifest)
        except (KeyError, TypeError, InputError) as error:
            raise InputError(f"{directory} is damaged: {error}") from error
        if len(files.names) != manifest["images"]:
            raise InputError(f"{directory} is damaged: {_NAMES} has changed.")
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
        return sum(getattr(self, name).nbytes for name in _ARRAYS)

    def comparable(self, rows: np.ndarray) -> np.ndarray:
        """Returns rows of an `Aggregated` as they are stored here."""
        return _comparable(rows, *_row_type(self.config))


def _shapes(
    config: AggregationConfig, manifest: dict
) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    dtype, width = _row_type(config)
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
