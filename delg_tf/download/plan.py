"""What is left to do, how large it is, and whether the disk has room."""

import concurrent.futures
import dataclasses
import pathlib
import shutil
import urllib.parse
from collections.abc import Sequence

from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.download.receipt import missing_files, read_receipt
from delg_tf.download.table import RemoteFile
from delg_tf.download.transfer import TransferOptions, size_of

# Longest wait for the size of a file, in seconds.
_LONGEST_WAIT = 20.0
# Sizes that are asked for at a time.
_THREADS = 8
# Unpacked bytes per byte of a compressed archive of JPEGs or weights.
_UNPACKED = 1.1


@dataclasses.dataclass(frozen=True)
class Pending:
    """A file that is to be downloaded.

    Attributes:
        file: the file.
        address: where to take it from.
        size: its bytes, or None if unknown.
        present: bytes that an earlier run has left.
    """

    file: RemoteFile
    address: str
    size: int | None
    present: int


def mirrored(url: str, mirror: str | None) -> str:
    """Returns the address of a file on a mirror: other host, same path.

    Args:
        url: the official address.
        mirror: scheme, host and perhaps a folder, as `http://host/folder`.

    Raises:
        InputError: the mirror is written another way.
    """
    if mirror is None:
        return url
    parsed = urllib.parse.urlsplit(mirror)
    if parsed.scheme not in ("http", "https") or not parsed.netloc:
        raise InputError(
            f"--mirror must be http(s)://HOST[/FOLDER], got {mirror!r}."
        )
    return mirror.rstrip("/") + urllib.parse.urlsplit(url).path


def is_in_place(file: RemoteFile, data_dir: pathlib.Path) -> bool:
    """Whether an earlier run has finished the file, and all is still there."""
    receipt = read_receipt(file, data_dir)
    if receipt is None or not receipt.complete:
        return False
    return next(missing_files(receipt, data_dir), None) is None


def make_plan(
    files: Sequence[RemoteFile],
    data_dir: pathlib.Path,
    mirror: str | None,
    options: TransferOptions,
) -> list[Pending]:
    """Returns what is left of `files`, with sizes as the servers tell them."""
    # What is there is looked at in threads too: GLDv2 has five million files.
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        in_place = pool.map(lambda f: is_in_place(f, data_dir), files)
        left = [f for f, there in zip(files, in_place) if not there]
        addresses = [mirrored(file.url, mirror) for file in left]
        sizes = pool.map(_SizeQuestion(options), addresses)
        return [
            Pending(file, address, *_sizes(file, data_dir, size))
            for file, address, size in zip(left, addresses, sizes)
        ]


class _SizeQuestion:
    """Asks for sizes; a host that was out of reach is not asked again."""

    def __init__(self, options: TransferOptions):
        self._options = dataclasses.replace(
            options, timeout_seconds=min(options.timeout_seconds, _LONGEST_WAIT)
        )
        self._silent: set[str] = set()

    def __call__(self, address: str) -> int | None:
        host = urllib.parse.urlsplit(address).netloc
        if host in self._silent:
            return None
        try:
            return size_of(address, self._options)
        except ConnectionError:
            self._silent.add(host)
            return None


def _sizes(
    file: RemoteFile, data_dir: pathlib.Path, size: int | None
) -> tuple[int | None, int]:
    kept = file.kept_in(data_dir)
    for path in (kept, kept.with_name(kept.name + ".part")):
        if path.is_file():
            present = path.stat().st_size
            return present if size is None else size, present
    return size, 0


def check_disk_space(
    plan: Sequence[Pending],
    data_dir: pathlib.Path,
    jobs: int,
    keep_archives: bool,
) -> None:
    """Checks that all that is planned has room.

    Args:
        plan: what is left to do.
        data_dir: the data folder, which exists.
        jobs: archives that are there at a time, unless they are kept.
        keep_archives: whether archives stay beside what they hold.

    Raises:
        InputError: there is less room than the announced sizes ask for.
    """
    needed, archives = 0.0, []
    for pending in plan:
        size = pending.size or 0
        to_come = max(size - pending.present, 0)
        if pending.file.unpack:
            plain = pending.file.name.endswith(".tar")
            needed += size * (1.0 if plain else _UNPACKED)
            archives.append(to_come)
        else:
            needed += to_come
    archives.sort(reverse=True)
    needed += sum(archives if keep_archives else archives[:jobs])
    free = shutil.disk_usage(data_dir).free
    if needed > free:
        raise InputError(
            f"{data_dir} needs about {_gigabytes(needed)} of free space and "
            f"has {_gigabytes(free)}. Make room, choose another --data_dir, or "
            "take less (--parts, --only)."
        )
    unknown = sum(pending.size is None for pending in plan)
    if unknown:
        logging.warning(
            "The servers do not tell the size of %d files: whether they have "
            "room is not known.",
            unknown,
        )


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.3f} GB"
