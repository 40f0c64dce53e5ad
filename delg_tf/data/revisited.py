"""Ground truth of Revisited Oxford and Paris, and of data in their format.

Source: Radenovic et al., "Revisiting Oxford and Paris", CVPR 2018; the files
are the official `gnd_*.mat` (ids from 1) and `gnd_*.pkl` (ids from 0).
"""

import codecs
import collections
import dataclasses
import pathlib
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.io

from delg_tf.common.errors import InputError
from delg_tf.common.files import (
    PathLike,
    atomic_write,
    existing_file,
    refuse_existing,
)

PROTOCOLS = ("easy", "medium", "hard")

_LABELS = ("easy", "hard", "junk")
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclasses.dataclass(frozen=True, eq=False)
class RevisitedQuery:
    """What is known about one query.

    Attributes:
        easy: int64 [E], ids (from 0) of index images that show the landmark
            clearly.
        hard: int64 [H], ids of those that show it under hard conditions.
        junk: int64 [J], ids of those that are neither right nor wrong.
        bbx: (x1, y1, x2, y2) of the landmark in pixels of the query image,
            or None for the whole image.
    """

    easy: np.ndarray
    hard: np.ndarray
    junk: np.ndarray
    bbx: tuple[float, float, float, float] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class RevisitedGroundTruth:
    """Queries, index images, and the labels between them.

    Attributes:
        query_names: names of the query images, without extension.
        index_names: names of the index images, without extension; an id is a
            position in this list.
        queries: the labels, one for each query name.
    """

    query_names: Sequence[str]
    index_names: Sequence[str]
    queries: Sequence[RevisitedQuery]


@dataclasses.dataclass(frozen=True, eq=False)
class ProtocolLabels:
    """Labels of one query under one protocol.

    Attributes:
        positives: int64 [P], ids of the images to be found.
        junk: int64 [J], ids of the images that the metric leaves out.
    """

    positives: np.ndarray
    junk: np.ndarray


def protocol_labels(query: RevisitedQuery, protocol: str) -> ProtocolLabels:
    """Returns what counts as right and as junk under a protocol.

    Easy looks for easy images and ignores hard ones, Hard the reverse, Medium
    looks for both; the query's own junk is always ignored.

    Args:
        query: labels of the query.
        protocol: one of `PROTOCOLS`.

    Raises:
        ValueError: there is no such protocol.
    """
    if protocol == "easy":
        found, ignored = [query.easy], [query.junk, query.hard]
    elif protocol == "medium":
        found, ignored = [query.easy, query.hard], [query.junk]
    elif protocol == "hard":
        found, ignored = [query.hard], [query.junk, query.easy]
    else:
        raise ValueError(
            f"`protocol` must be one of {PROTOCOLS}. Received: {protocol!r}"
        )
    return ProtocolLabels(np.concatenate(found), np.concatenate(ignored))


def load_ground_truth(path: PathLike) -> RevisitedGroundTruth:
    """Reads ground truth in either official format.

    Args:
        path: a `.mat` or a `.pkl` file. A pickle may hold NumPy arrays and
            built-in containers only: nothing else in it is run.

    Raises:
        InputError: the file is missing, damaged or contradicts itself; the
            message names file, query and field.
    """
    path = existing_file(path, "ground truth")
    suffix = path.suffix.lower()
    if suffix == ".mat":
        content, first_id = _read_mat(path), 1
    elif suffix == ".pkl":
        content, first_id = _read_pickle(path), 0
    else:
        raise InputError(f"{path}: ground truth must be a .mat or .pkl file.")
    for key in ("qimlist", "imlist", "gnd"):
        if key not in content:
            raise InputError(f"{path}: `{key}` is missing.")
    query_names = _parse_names(content["qimlist"], path, "qimlist")
    entries = list(content["gnd"])
    if len(entries) != len(query_names):
        raise InputError(
            f"{path}: `gnd` has {len(entries)} entries for "
            f"{len(query_names)} queries in `qimlist`."
        )
    ground_truth = RevisitedGroundTruth(
        query_names=query_names,
        index_names=_parse_names(content["imlist"], path, "imlist"),
        queries=tuple(
            _parse_query(entry, first_id, f"{path}: query {name}")
            for name, entry in zip(query_names, entries)
        ),
    )
    _validate(ground_truth, path)
    return ground_truth


def save_ground_truth(
    ground_truth: RevisitedGroundTruth,
    path: PathLike,
    overwrite: bool = False,
) -> None:
    """Writes ground truth in the official format that the suffix names.

    Args:
        ground_truth: what to write.
        path: a `.mat` or a `.pkl` file.
        overwrite: whether `path` may exist.

    Raises:
        InputError: the labels contradict each other, `path` exists, or its
            suffix is another one.
    """
    path = refuse_existing(path, overwrite)
    _validate(ground_truth, path)
    suffix = path.suffix.lower()
    if suffix == ".mat":
        with atomic_write(path) as file:
            scipy.io.savemat(file, _mat_content(ground_truth))
    elif suffix == ".pkl":
        with atomic_write(path) as file:
            pickle.dump(_pickle_content(ground_truth), file, protocol=2)
    else:
        raise InputError(f"{path}: ground truth must be a .mat or .pkl file.")


def _read_mat(path: pathlib.Path) -> Mapping[str, Any]:
    # Damaged files make the reader fail in many ways (ValueError, TypeError,
    # zlib.error, NotImplementedError for version 7.3, ...).
    try:
        content = scipy.io.loadmat(path, squeeze_me=True)
    except Exception as error:
        raise InputError(
            f"{path} is no readable MATLAB file (version 5 to 7.2): {error}"
        ) from error
    content = {
        key: np.atleast_1d(value)
        for key, value in content.items()
        if not key.startswith("__")
    }
    if "gnd" in content:
        fields = content["gnd"].dtype.names or ()
        content["gnd"] = [
            {field: entry[field] for field in fields}
            for entry in content["gnd"]
        ]
    return content


def _read_pickle(path: pathlib.Path) -> Mapping[str, Any]:
    # Here too the ways to fail are many, and all mean a bad file.
    try:
        with open(path, "rb") as file:
            content = _PlainUnpickler(file, encoding="latin1").load()
    except Exception as error:
        raise InputError(f"{path} is no readable pickle: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: the pickle must hold a dictionary.")
    return content


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not allowed")
    return codecs.encode(text, "latin1")


def _no_bytes() -> bytes:
    # How protocols 0 to 2 write empty bytes, e.g. of an empty array.
    return b""


class _PlainUnpickler(pickle.Unpickler):
    """Loads NumPy arrays and built-in containers, and refuses the rest."""

    _MULTIARRAY = np.zeros(0).__reduce__()[0]
    _SCALAR = np.float64(0).__reduce__()[0]
    _FROM_BUFFER = np.zeros(0).__reduce_ex__(5)[0]
    # NumPy 2 moved its core; the official files were written before.
    _ALLOWED = {
        ("__builtin__", "bytes"): _no_bytes,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): _MULTIARRAY,
        ("numpy._core.multiarray", "_reconstruct"): _MULTIARRAY,
        ("numpy.core.multiarray", "scalar"): _SCALAR,
        ("numpy._core.multiarray", "scalar"): _SCALAR,
        ("numpy.core.numeric", "_frombuffer"): _FROM_BUFFER,
        ("numpy._core.numeric", "_frombuffer"): _FROM_BUFFER,
        ("_codecs", "encode"): _encode,
        ("collections", "OrderedDict"): collections.OrderedDict,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(
                f"{module}.{name} is not allowed in a ground truth file"
            )
        return self._ALLOWED[module, name]


def _parse_names(values: Any, path: PathLike, key: str) -> tuple[str, ...]:
    names = []
    for value in values:
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{path}: `{key}` must list names, got {value!r}.")
        # MATLAB character matrices pad with blanks.
        name = pathlib.PurePosixPath(value.rstrip())
        known = name.suffix.lower() in _IMAGE_SUFFIXES
        names.append(str(name.with_suffix("") if known else name))
    return tuple(names)


def _parse_query(entry: Any, first_id: int, where: str) -> RevisitedQuery:
    if not isinstance(entry, Mapping):
        raise InputError(f"{where}: `gnd` must hold a structure a query.")
    labels = {}
    for field in _LABELS:
        if field not in entry:
            raise InputError(f"{where}: field `{field}` is missing.")
        values = _parse_numbers(entry[field], f"{where}: field `{field}`")
        if np.any(values != np.floor(values)):
            raise InputError(f"{where}: field `{field}` must hold whole ids.")
        labels[field] = values.astype(np.int64) - first_id
    bbx = entry.get("bbx")
    if bbx is not None:
        values = _parse_numbers(bbx, f"{where}: field `bbx`")
        bbx = tuple(values.tolist()) or None
    return RevisitedQuery(bbx=bbx, **labels)


def _parse_numbers(values: Any, where: str) -> np.ndarray:
    try:
        # Ids stay exact: float64 holds whole numbers up to 2^53.
        numbers = np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} must hold numbers: {error}") from error
    if not np.all(np.isfinite(numbers)):
        raise InputError(f"{where} must hold finite numbers.")
    return numbers


def _validate(ground_truth: RevisitedGroundTruth, path: PathLike) -> None:
    """Raises InputError if the ground truth contradicts itself."""
    for key, names in (
        ("qimlist", ground_truth.query_names),
        ("imlist", ground_truth.index_names),
    ):
        if not names:
            raise InputError(f"{path}: `{key}` is empty.")
        name, count = collections.Counter(names).most_common(1)[0]
        if count > 1:
            raise InputError(f"{path}: `{key}` lists {name} {count} times.")
    if len(ground_truth.queries) != len(ground_truth.query_names):
        raise InputError(
            f"{path}: {len(ground_truth.queries)} labels for "
            f"{len(ground_truth.query_names)} queries."
        )
    for name, query in zip(ground_truth.query_names, ground_truth.queries):
        where = f"{path}: query {name}"
        _validate_ids(query, len(ground_truth.index_names), where)
        if query.bbx is not None:
            _validate_box(query.bbx, where)


def _validate_ids(query: RevisitedQuery, count: int, where: str) -> None:
    field_of = {}
    for field in _LABELS:
        for image in getattr(query, field).tolist():
            if not 0 <= image < count:
                raise InputError(
                    f"{where}: field `{field}` names image {image} (counted "
                    f"from 0), but there are {count} index images."
                )
            if image in field_of:
                raise InputError(
                    f"{where}: image {image} (counted from 0) is in field "
                    f"`{field}` and in field `{field_of[image]}`."
                )
            field_of[image] = field


def _validate_box(box: Sequence[float], where: str) -> None:
    if len(box) != 4 or not np.all(np.isfinite(box)):
        raise InputError(
            f"{where}: field `bbx` must hold x1, y1, x2, y2; got {box}."
        )
    x1, y1, x2, y2 = box
    if x2 <= x1 or y2 <= y1:
        raise InputError(f"{where}: field `bbx` is empty: {box}.")
    if x2 <= 0 or y2 <= 0:
        raise InputError(f"{where}: field `bbx` is outside the image: {box}.")


def _mat_content(ground_truth: RevisitedGroundTruth) -> dict[str, Any]:
    gnd = np.empty(
        (1, len(ground_truth.queries)),
        dtype=[(field, object) for field in ("bbx", *_LABELS)],
    )
    for entry, query in zip(gnd[0], ground_truth.queries):
        entry["bbx"] = np.array([query.bbx or ()], np.float64)
        for field in _LABELS:
            entry[field] = getattr(query, field)[None] + 1.0
    return {
        "gnd": gnd,
        # Object arrays become cell arrays.
        "imlist": np.array([ground_truth.index_names], dtype=object),
        "qimlist": np.array([ground_truth.query_names], dtype=object),
    }


def _pickle_content(ground_truth: RevisitedGroundTruth) -> dict[str, Any]:
    return {
        "gnd": [
            {
                "bbx": None if query.bbx is None else list(query.bbx),
                **{field: getattr(query, field) for field in _LABELS},
            }
            for query in ground_truth.queries
        ],
        "imlist": list(ground_truth.index_names),
        "qimlist": list(ground_truth.query_names),
    }
