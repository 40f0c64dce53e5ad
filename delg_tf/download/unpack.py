"""Archives into folders, safely: nothing outside, nothing by halves."""

import contextlib
import fnmatch
import hashlib
import lzma
import pathlib
import shutil
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from delg_tf.common.errors import InputError
from delg_tf.download.receipt import PlacedFile
from delg_tf.download.table import RemoteFile
from delg_tf.download.transfer import StoppedError

# Bytes that are copied at a time.
_BLOCK = 1 << 20
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    # gzip's BadGzipFile and bz2's errors.
    OSError,
)


class DamagedArchiveError(Exception):
    """An archive that cannot be read to its end."""


def extract(
    archive: pathlib.Path,
    file: RemoteFile,
    folder: pathlib.Path,
    stop: threading.Event,
) -> list[PlacedFile]:
    """Extracts what is wanted of an archive into a new folder.

    Only ordinary files are written, each one opened anew by this function;
    links and devices are left out.

    Args:
        archive: tar, plain or compressed, or zip; told by its content.
        file: which members are wanted, and under which names.
        folder: an empty folder that nobody else uses.
        stop: ends the work when it is set.

    Returns:
        The files, with paths relative to `folder`.

    Raises:
        DamagedArchiveError: the archive cannot be read to its end.
        InputError: a member lies outside the folder, two have the same name,
            or none is wanted.
        StoppedError: `stop` was set.
    """
    placed: dict[str, PlacedFile] = {}
    for member, source in _members(archive, folder):
        if stop.is_set():
            raise StoppedError
        path = pathlib.PurePosixPath(member)
        if not any(fnmatch.fnmatchcase(path.name, p) for p in file.members):
            continue
        name = path.name if file.flatten else str(path)
        if name in placed:
            raise InputError(f"{archive} holds {name} twice.")
        with source as content:
            placed[name] = _copy(content, archive, folder / name, name)
    if not placed:
        raise InputError(
            f"{archive} holds none of the expected files "
            f"({', '.join(file.members)})."
        )
    return list(placed.values())


def _members(
    archive: pathlib.Path, folder: pathlib.Path
) -> Iterator[tuple[str, IO[bytes]]]:
    """Yields safe name and content of each ordinary file, in order."""
    try:
        if _is_zip(archive):
            with zipfile.ZipFile(archive) as zipped:
                for info in zipped.infolist():
                    name = info.filename.replace("\\", "/")
                    if not info.is_dir():
                        safe = _safe(tarfile.TarInfo(name), folder, archive)
                        yield safe, zipped.open(info)
            return
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                if member.isfile():
                    safe = _safe(member, folder, archive)
                    yield safe, tar.extractfile(member)
    except _DAMAGE as error:
        raise DamagedArchiveError(f"{archive}: {error}") from error


def _is_zip(archive: pathlib.Path) -> bool:
    # Not zipfile.is_zipfile, which looks at the end: a tar may end in a zip.
    with open(archive, "rb") as file:
        return file.read(2) == b"PK"


def _safe(
    member: tarfile.TarInfo, folder: pathlib.Path, archive: pathlib.Path
) -> str:
    """Returns the member's name within the folder, by tarfile's data filter."""
    try:
        name = tarfile.data_filter(member, str(folder)).name
    except tarfile.FilterError as error:
        raise InputError(f"{archive} is not safe to unpack: {error}") from error
    return str(pathlib.PurePosixPath(name))


def _copy(
    source: IO[bytes], archive: pathlib.Path, target: pathlib.Path, name: str
) -> PlacedFile:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with open(target, "xb") as file:
        while True:
            try:
                block = source.read(_BLOCK)
            except _DAMAGE as error:
                raise DamagedArchiveError(f"{archive}: {error}") from error
            if not block:
                return PlacedFile(name, size, digest.hexdigest())
            file.write(block)
            digest.update(block)
            size += len(block)


@contextlib.contextmanager
def working_folder(archive: pathlib.Path) -> Iterator[pathlib.Path]:
    """Makes an empty folder beside an archive, and removes it at the end.

    What a killed run has left in it is removed at the start.
    """
    folder = archive.with_name(archive.name + ".unpacking")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
