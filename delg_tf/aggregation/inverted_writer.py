"""Building an inverted index from aggregated images, one after the other."""

import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from delg_tf.aggregation import inverted_files as files
from delg_tf.aggregation.config import config_text
from delg_tf.aggregation.representation import Aggregated
from delg_tf.common.atomic_directory import atomic_directory
from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, sha256, write_json
from delg_tf.common.progress import track
from delg_tf.protos.aggregation_config_pb2 import AggregationConfig

# Bytes of representations that are sorted at a time.
_BLOCK = 256 << 20


def write_inverted_index(
    directory: PathLike,
    names: Sequence[str],
    read: Callable[[str], Aggregated],
    config: AggregationConfig,
    codebook_identity: str = "",
    overwrite: bool = False,
) -> None:
    """Writes an index, atomically.

    Images are read twice: first to count the words, then, block by block, into
    their places in mapped files. So the memory taken does not grow with their
    number.

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
    with atomic_directory(directory, files.MANIFEST, overwrite) as folder:
        offsets = _count(folder, names, read, config.codebook_size)
        _fill(folder, names, read, offsets, config)
        write_json(folder / files.NAMES, list(names))
        parts = [files.NAMES, *(f"{name}.npy" for name in files.ARRAYS)]
        manifest = {
            "format": files.FORMAT,
            "images": len(names),
            "postings": int(offsets[-1]),
            "config": config_text(config),
            "codebook_sha256": codebook_identity,
            "sha256": {name: sha256(folder / name) for name in parts},
        }
        write_json(folder / files.MANIFEST, manifest)


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
    postings = _Postings(folder, offsets, config)
    block, size = [], 0
    for number, name in enumerate(track(names, "Inverting", "image")):
        image = read(name)
        block.append((number, image))
        size += image.descriptors.nbytes + image.words.nbytes
        if size >= _BLOCK:
            postings.add(block)
            block, size = [], 0
    if size:
        postings.add(block)
    postings.flush()


class _Postings:
    """The two mapped files of postings, being filled."""

    def __init__(
        self,
        folder: pathlib.Path,
        offsets: np.ndarray,
        config: AggregationConfig,
    ):
        self._offsets = offsets
        self._free = offsets[:-1].copy()
        self._row_type = files.row_type(config)
        dtype, width = self._row_type
        total = int(offsets[-1])
        self._images, self._residuals = (
            np.lib.format.open_memmap(folder / name, "w+", kind, shape)
            for name, kind, shape in (
                ("images.npy", np.int32, (total,)),
                ("residuals.npy", dtype, (total, width)),
            )
        )

    def add(self, block: Sequence[tuple[int, Aggregated]]) -> None:
        """Writes (number, image) pairs, whose numbers rise from call to call.

        By word, so that each part of the files is met once a block.
        """
        words = np.concatenate([image.words for _, image in block])
        order = np.argsort(words, kind="stable")
        distinct, starts, counts = np.unique(
            words[order].astype(np.int64),
            return_index=True,
            return_counts=True,
        )
        ends = self._free[distinct] + counts
        if np.any(ends > self._offsets[distinct + 1]):
            raise InputError("Aggregated files changed while being indexed.")
        shifts = np.repeat(self._free[distinct] - starts, counts)
        places = shifts + np.arange(len(words))
        numbers = [
            np.full(len(image.words), number, np.int32)
            for number, image in block
        ]
        rows = np.concatenate([image.descriptors for _, image in block])
        rows = files.as_stored(rows, *self._row_type)
        self._images[places] = np.concatenate(numbers)[order]
        self._residuals[places] = rows[order]
        self._free[distinct] = ends

    def flush(self) -> None:
        """Returns when all is in the files."""
        self._images.flush()
        self._residuals.flush()
