"""Files that are complete or absent, and never overwritten silently."""

import contextlib
import hashlib
import json
import os
import pathlib
import uuid
from collections.abc import Iterator
from typing import IO, Any

from delg_tf.common.errors import InputError

PathLike = str | os.PathLike

# Bytes that are read at a time.
_BLOCK = 1 << 20


@contextlib.contextmanager
def atomic_write(path: PathLike, mode: str = "wb") -> Iterator[IO]:
    """Opens a temporary file that becomes `path` only if the block succeeds.

    Parent directories are created. Readers see the old content or the whole
    new one, also when the process is killed.

    Args:
        path: the file to write.
        mode: "wb" or "w" (UTF-8 text).

    Yields:
        The open temporary file, in the same directory as `path`.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not mkstemp, whose files are private: the umask, which gives the usual
    # permissions, cannot be read without setting it for all threads.
    temporary = path.with_name(f".{uuid.uuid4().hex}.partial")
    encoding = None if "b" in mode else "utf-8"
    try:
        with open(temporary, mode.replace("w", "x"), encoding=encoding) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def write_json(path: PathLike, value: Any) -> None:
    """Writes `value` as indented JSON, atomically."""
    with atomic_write(path, "w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


def read_json(path: PathLike) -> Any:
    """Reads a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    existing_file(path)
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error


def existing_file(path: PathLike, what: str = "file") -> pathlib.Path:
    """Returns `path` if it is a file.

    Args:
        path: the path to check.
        what: what the file is to the user, for the message.

    Raises:
        InputError: there is no such file.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"The {what} {path} does not exist or is no file.")
    return path


def existing_directory(path: PathLike, what: str = "directory") -> pathlib.Path:
    """Returns `path` if it is a directory.

    Args:
        path: the path to check.
        what: what the directory is to the user, for the message.

    Raises:
        InputError: there is no such directory.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        raise InputError(f"The {what} {path} does not exist or is no folder.")
    return path


def refuse_existing(path: PathLike, overwrite: bool = False) -> pathlib.Path:
    """Returns `path` if it is free or may be overwritten.

    Raises:
        InputError: `path` exists and `overwrite` is false.
    """
    path = pathlib.Path(path)
    if path.exists() and not overwrite:
        raise InputError(
            f"{path} exists already. Choose another place, remove it, or pass "
            "--overwrite."
        )
    return path


def readable(name: bytes | str) -> str:
    """Returns a file's name as text for people and for text files.

    A name need not be valid UTF-8; bytes that are not are shown escaped.
    """
    return os.fsencode(name).decode("utf-8", errors="backslashreplace")


def sha256(path: PathLike) -> str:
    """Returns the SHA-256 of a file's bytes, in hexadecimal."""
    return digest(path, "sha256")


def digest(path: PathLike, kind: str) -> str:
    """Returns a digest of a file's bytes, in hexadecimal.

    Args:
        path: the file.
        kind: what `hashlib` calls it, such as "md5".
    """
    summary = hashlib.new(kind)
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            summary.update(block)
    return summary.hexdigest()


def sync(path: PathLike) -> None:
    """Returns when a file or the entries of a folder are on the disk."""
    if os.name == "nt" and os.path.isdir(path):
        return  # Windows opens no folders.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
