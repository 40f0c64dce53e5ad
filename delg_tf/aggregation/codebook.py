"""Visual words: the centres that local features are assigned to.

A codebook is a file of ours (`.npz`), or one that the official programs made:
a TensorFlow checkpoint with one variable.
"""

import dataclasses
import hashlib
import json
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import (
    PathLike,
    atomic_write,
    existing_file,
    refuse_existing,
)
from delg_tf.protos.aggregation_config_pb2 import AggregationConfig

FORMAT = "delg_tf.codebook.1"

# The variable in official checkpoints: of TF2 objects, of TF1, and as TF1's
# KMeansClustering calls it.
_OFFICIAL_NAMES = (
    "codebook/.ATTRIBUTES/VARIABLE_VALUE",
    "codebook",
    "clusters",
)


@dataclasses.dataclass(frozen=True, eq=False)
class Codebook:
    """K visual words.

    Attributes:
        words: float32 [K, D], the centres.
        origin: what it was learnt from and how; free, for people and checks.

    Raises:
        ValueError: `words` is no matrix of finite numbers.
    """

    words: np.ndarray
    origin: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        words = np.ascontiguousarray(self.words, np.float32)
        if words.ndim != 2 or not words.size or not np.isfinite(words).all():
            raise ValueError(
                "`words` must be a [K, D] array of finite numbers. Received: "
                f"{np.asarray(self.words).dtype} of shape {words.shape}."
            )
        object.__setattr__(self, "words", words)

    def __len__(self) -> int:
        return len(self.words)

    @property
    def dimension(self) -> int:
        """Length of a word, D."""
        return self.words.shape[1]

    @property
    def identity(self) -> str:
        """SHA-256 of size and numbers, in hexadecimal."""
        shape = np.array(self.words.shape, "<i8").tobytes()
        numbers = self.words.astype("<f4").tobytes()
        return hashlib.sha256(shape + numbers).hexdigest()

    def save(self, path: PathLike, overwrite: bool = False) -> None:
        """Writes the codebook, atomically.

        Args:
            path: the file, `.npz`.
            overwrite: whether it may exist.

        Raises:
            InputError: the file exists and may not be replaced.
        """
        refuse_existing(path, overwrite)
        with atomic_write(path) as file:
            np.savez(
                file,
                format=np.array(FORMAT),
                identity=np.array(self.identity),
                origin=np.array(json.dumps(dict(self.origin))),
                words=self.words,
            )


def load_codebook(path: PathLike) -> Codebook:
    """Reads a codebook of ours, or of the official programs.

    Args:
        path: the `.npz` file, or the prefix of a TensorFlow checkpoint.

    Raises:
        InputError: it is missing, damaged or something else.
    """
    try:
        with open(path, "rb") as file:
            is_archive = file.read(2) == b"PK"
    except OSError:
        # A checkpoint's prefix is no file.
        is_archive = False
    return _read_own(path) if is_archive else _read_official(path)


def check_codebook(codebook: Codebook, config: AggregationConfig) -> None:
    """Checks that a codebook is the one that a configuration describes.

    Raises:
        InputError: its sizes differ.
    """
    expected = (config.codebook_size, config.feature_dimensionality)
    if codebook.words.shape != expected:
        raise InputError(
            f"The codebook has {len(codebook)} words of {codebook.dimension} "
            f"numbers, but the configuration says codebook_size: {expected[0]} "
            f"and feature_dimensionality: {expected[1]}."
        )


def _read_own(path: PathLike) -> Codebook:
    try:
        # Texts are plain arrays, so nothing needs a pickle.
        with np.load(path, allow_pickle=False) as content:
            found = str(content["format"])
            codebook = Codebook(
                content["words"], json.loads(str(content["origin"]))
            )
            identity = str(content["identity"])
    except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is no readable codebook: {error}") from error
    if found != FORMAT:
        raise InputError(f"{path} is {found}, but {FORMAT} is needed.")
    if identity != codebook.identity:
        raise InputError(f"{path} is damaged: its checksum differs.")
    return codebook


def _read_official(path: PathLike) -> Codebook:
    # TensorFlow takes seconds to load, and codebooks of ours do without.
    from delg_tf.weights.checkpoint import read_checkpoint

    if not pathlib.Path(f"{path}.index").is_file():
        existing_file(path, "codebook")
    arrays = read_checkpoint(str(path))
    for name in _OFFICIAL_NAMES:
        if name in arrays:
            break
    else:
        raise InputError(
            f"{path} has no variable `codebook` or `clusters`; it has "
            f"{', '.join(sorted(arrays)) or 'none'}."
        )
    try:
        return Codebook(arrays[name], {"checkpoint": str(path)})
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
