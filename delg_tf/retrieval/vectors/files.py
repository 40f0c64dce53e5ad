"""Arrays and FAISS indexes as files of a folder, checked when opened."""

import mmap
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import faiss
import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import existing_file, read_json, write_json

_FACTS = "vectors.json"
_BLOCK_BYTES = 1 << 25
_REBUILD = "Build the index again."


def blocks(
    rows: int, dimension: int, itemsize: int = 4
) -> Iterator[tuple[int, int]]:
    """Cuts rows into blocks that need little memory; yields start and end."""
    step = max(1, _BLOCK_BYTES // (dimension * itemsize))
    for start in range(0, rows, step):
        yield start, min(rows, start + step)


def check_finite(descriptors: np.ndarray) -> None:
    """Refuses descriptors that cannot be compared.

    Raises:
        ValueError: they are no [N, D] with N and D at least 1, or hold
            values that are not finite.
    """
    if descriptors.ndim != 2 or not descriptors.size:
        raise ValueError(
            "`descriptors` must be [N, D] with N and D at least 1. Received: "
            f"shape {descriptors.shape}"
        )
    for start, stop in blocks(*descriptors.shape):
        finite = np.isfinite(descriptors[start:stop]).all(axis=1)
        if not finite.all():
            raise ValueError(
                "`descriptors` must be finite. Received: row "
                f"{start + int(np.argmin(finite))} is not"
            )


def write_array(
    path: pathlib.Path,
    shape: tuple[int, ...],
    dtype: np.dtype,
    parts: Iterable[np.ndarray],
) -> None:
    """Writes an array of parts, in the format of NumPy."""
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
        "fortran_order": False,
        "shape": shape,
    }
    with open(path, "xb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype).data)


def map_array(
    path: pathlib.Path, shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    """Maps an array that `write_array` wrote, read-only.

    Raises:
        InputError: it is missing, damaged or not as expected.
    """
    existing_file(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} is damaged: {error}. {_REBUILD}") from error
    if array.shape != shape or array.dtype != dtype:
        raise InputError(
            f"{path} is {array.dtype} {list(array.shape)}, not "
            f"{np.dtype(dtype)} {list(shape)}. {_REBUILD}"
        )
    return np.asarray(array)


def mapped_file(array: np.ndarray) -> mmap.mmap | None:
    """Returns the file that a read-only array is mapped from, if it is."""
    if array.flags.writeable:
        # What was written to a private map would be lost with its pages.
        return None
    while isinstance(array, np.ndarray):
        array = array.base
    return array if isinstance(array, mmap.mmap) else None


def release_pages(array: np.ndarray) -> None:
    """Lets go of the memory that a mapped array has filled while it was read.

    It counts as this process's until the system needs it. What is read again
    comes from the system's cache of files, or from the disk.
    """
    file = mapped_file(array)
    if file is not None and hasattr(mmap, "MADV_DONTNEED"):
        file.madvise(mmap.MADV_DONTNEED)


def read_faiss(path: pathlib.Path, flags: int = 0) -> faiss.Index:
    """Reads an index of FAISS.

    Raises:
        InputError: it is missing or damaged.
    """
    existing_file(path)
    try:
        return faiss.read_index(str(path), flags)
    except RuntimeError as error:
        raise InputError(
            f"{path} is damaged, or no index of FAISS. {_REBUILD}"
        ) from error


def write_facts(folder: pathlib.Path, facts: dict[str, Any]) -> None:
    """Writes what `read_facts` checks, after all other files."""
    sizes = {
        path.name: path.stat().st_size
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != _FACTS
    }
    write_json(folder / _FACTS, facts | {"bytes": sizes})


def read_facts(folder: pathlib.Path, kind: str) -> dict[str, Any]:
    """Returns the facts that `write_facts` wrote.

    Files that were cut off are found here: a mapped file that is too short
    would kill the process when its end is read.

    Raises:
        InputError: a file is missing, damaged or of another size, or the
            descriptors are of another kind.
    """
    path = folder / _FACTS
    facts = read_json(path)
    known = isinstance(facts, dict) and isinstance(facts.get("bytes"), dict)
    for field in ("rows", "dimension"):
        known = known and type(facts.get(field)) is int and facts[field] > 0
    if not known:
        raise InputError(f"{path} is damaged. {_REBUILD}")
    if facts.get("kind") != kind:
        raise InputError(
            f"{path} says {facts.get('kind')}, but the index is {kind}. "
            f"{_REBUILD}"
        )
    for name, size in facts["bytes"].items():
        found = existing_file(folder / name).stat().st_size
        if found != size:
            raise InputError(
                f"{folder / name} has {found} bytes instead of {size}. "
                f"{_REBUILD}"
            )
    return facts
