"""Which files a user asks for."""

import fnmatch
import re
from collections.abc import Iterable, Sequence

from delg_tf.common.errors import InputError
from delg_tf.download.sources import DATA_SETS, GROUPS
from delg_tf.download.table import DataSet, RemoteFile


def find_data_sets(names: Sequence[str]) -> tuple[DataSet, ...]:
    """Returns the data sets of these names, groups resolved, each once.

    Raises:
        InputError: no name, or an unknown one.
    """
    known = {data_set.name: data_set for data_set in DATA_SETS}
    chosen = {}
    for name in names:
        for member in GROUPS.get(name, (name,)):
            if member not in known:
                raise InputError(
                    f"There is no data set {name!r}. Known are "
                    f"{', '.join([*known, *GROUPS])}."
                )
            chosen[member] = known[member]
    if not chosen:
        raise InputError("Name a data set: --dataset=NAME.")
    return tuple(chosen.values())


def parse_parts(text: str) -> frozenset[int]:
    """Parses numbers of archives, such as `0-9,17`.

    Raises:
        InputError: it is written another way.
    """
    parts = set()
    for piece in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", piece)
        first, last = match.groups() if match else (None, None)
        if first is None or int(last or first) < int(first):
            raise InputError(
                f"--parts takes numbers and ranges, as in 0-9,17; got {text!r}."
            )
        parts.update(range(int(first), int(last or first) + 1))
    return frozenset(parts)


def select_files(
    data_sets: Iterable[DataSet],
    parts: frozenset[int] | None = None,
    only: str | None = None,
) -> tuple[RemoteFile, ...]:
    """Returns what is to be downloaded, each file once.

    Args:
        data_sets: the data sets.
        parts: numbers of the archives that are wanted of the data sets that
            are cut into some; None for all. Other files are not left out.
        only: pattern (`fnmatch`) of names on the server; None for all.

    Raises:
        InputError: a data set has no such part, or nothing is left.
    """
    files: dict[str, RemoteFile] = {}
    for data_set in data_sets:
        if parts is not None:
            _check_parts(data_set, parts)
        for file in data_set.files:
            wanted = parts is None or file.part is None or file.part in parts
            if wanted and (only is None or fnmatch.fnmatch(file.name, only)):
                files[file.url] = file
    if not files:
        raise InputError(f"No file of these data sets matches --only={only!r}.")
    return tuple(files.values())


def _check_parts(data_set: DataSet, parts: frozenset[int]) -> None:
    known = {file.part for file in data_set.files} - {None}
    if known and parts - known:
        raise InputError(
            f"{data_set.name} has parts {min(known)}-{max(known)}, not "
            f"{min(parts - known)}. Correct --parts, or name its pieces by "
            "--dataset one at a time."
        )
    if not known:
        raise InputError(
            f"{data_set.name} is not cut into parts: leave --parts out, or "
            "download it by itself."
        )
