"""One file from its address to its place: fetched, checked, unpacked."""

import dataclasses
import functools
import pathlib
import threading
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import logging

from delg_tf.common import files
from delg_tf.common.errors import InputError
from delg_tf.download import unpack
from delg_tf.download.checksum import published_checksum
from delg_tf.download.part_file import PartFile
from delg_tf.download.plan import Pending, mirrored
from delg_tf.download.receipt import (
    PlacedFile,
    Receipt,
    read_receipt,
    write_receipt,
)
from delg_tf.download.table import RemoteFile
from delg_tf.download.transfer import TransferOptions, fetch

# How often a file that has come damaged is downloaded.
_ATTEMPTS = 3


@dataclasses.dataclass(frozen=True)
class PlaceOptions:
    """How files are put in place.

    Attributes:
        mirror: taken from there, see `plan.mirrored`; None: official.
        keep_archives: whether archives stay after they are unpacked.
        ignore_checksums: whether a wrong checksum is a warning only.
        overwrite: whether files of the same name that no download has put
            there are replaced.
        transfer: when to give up.
    """

    mirror: str | None = None
    keep_archives: bool = False
    ignore_checksums: bool = False
    overwrite: bool = False
    transfer: TransferOptions = dataclasses.field(
        default_factory=TransferOptions
    )


class _DamagedError(Exception):
    """What has come is not what was published."""


class Placer:
    """Downloads files and puts them in place; threads may share it."""

    def __init__(
        self,
        data_dir: pathlib.Path,
        options: PlaceOptions,
        advance: Callable[[int], None],
        stop: threading.Event,
    ):
        """Takes what all files have in common.

        Args:
            data_dir: the data folder.
            options: how.
            advance: called with bytes that have come; see `transfer.fetch`.
            stop: ends all work when it is set.
        """
        self._data_dir = data_dir
        self._options = options
        self._advance = advance
        self._stop = stop

    def place(self, pending: Pending) -> Receipt:
        """Downloads one file, checks it, and puts its content in place.

        Returns:
            What is written as its receipt.

        Raises:
            InputError: it cannot be had, comes damaged again and again, or
                something else lies in its place.
            transfer.StoppedError: the work was given up.
        """
        for attempt in range(_ATTEMPTS):
            try:
                return self._place_once(pending)
            except _DamagedError as error:
                if attempt == _ATTEMPTS - 1:
                    raise InputError(
                        f"{pending.address} came damaged {_ATTEMPTS} times: "
                        f"{error}. Try --mirror; if its publisher has changed "
                        "the file, --ignore_checksums takes it as it is."
                    ) from error
                logging.warning("%s: %s; again", pending.address, error)
        raise AssertionError("not reached")

    def _place_once(self, pending: Pending) -> Receipt:
        file = pending.file
        kept = file.kept_in(self._data_dir)
        came = self._find(pending, kept) or self._fetch(pending, kept)
        receipt = Receipt(
            url=pending.address,
            sha256=came.digest("sha256"),
            checked_by=self._check(pending, came),
            complete=False,
            files=(),
        )
        if came.part is not None:
            came.part.become(kept)
        if file.unpack:
            return self._unpack(file, kept, receipt, came)
        placed = PlacedFile(file.path, came.size, receipt.sha256)
        receipt = dataclasses.replace(receipt, complete=True, files=(placed,))
        write_receipt(file, self._data_dir, receipt)
        return receipt

    def _find(self, pending: Pending, kept: pathlib.Path) -> "_Came | None":
        """Returns what lies there already, put there by hand perhaps.

        Archives of a run that was cut off are found here, too. A file that a
        download has put there is downloaded again: it is damaged.
        """
        file = pending.file
        if not kept.is_file():
            return None
        if not file.unpack and (
            self._options.overwrite or self._is_ours(file, file.path)
        ):
            return None
        size = kept.stat().st_size
        if pending.size not in (None, size):
            raise InputError(
                f"{kept} has {size} bytes, but {pending.address} has "
                f"{pending.size}. Remove it, and it is downloaded."
            )
        logging.info("%s is there already and is taken.", kept)
        return _Came(kept, size, functools.partial(files.digest, kept))

    def _fetch(self, pending: Pending, kept: pathlib.Path) -> "_Came":
        part = fetch(
            pending.address,
            kept,
            self._options.transfer,
            self._advance,
            self._stop,
        )
        return _Came(part.path, part.size, part.digest, part)

    def _check(self, pending: Pending, came: "_Came") -> str | None:
        """Compares with what is published; returns it in words."""
        file = pending.file
        address = file.md5_url and mirrored(file.md5_url, self._options.mirror)
        if self._options.ignore_checksums and address:
            return None
        checksum = published_checksum(
            file,
            came.part.server_md5 if came.part else None,
            address,
            self._data_dir,
            self._options.transfer,
            self._stop,
        )
        if checksum is None:
            return None
        digest = came.digest(checksum.kind)
        if checksum.fits(digest):
            return str(checksum)
        text = f"its {checksum.kind} is {digest}, not {checksum}"
        if not self._options.ignore_checksums:
            self._reject(came, text)
        logging.warning("%s: %s; taken as it is", pending.address, text)
        return None

    def _reject(self, came: "_Came", text: str) -> NoReturn:
        """Throws away what has come; what was found is left to the user."""
        if came.part is None:
            raise InputError(
                f"{came.path} is damaged: {text}. Remove it, and it is "
                "downloaded."
            )
        came.part.discard()
        came.path.unlink(missing_ok=True)
        self._advance(-came.size)
        raise _DamagedError(text)

    def _is_ours(self, file: RemoteFile, path: str) -> bool:
        receipt = read_receipt(file, self._data_dir)
        return receipt is not None and path in {f.path for f in receipt.files}

    def _unpack(
        self,
        file: RemoteFile,
        archive: pathlib.Path,
        receipt: Receipt,
        came: "_Came",
    ) -> Receipt:
        """Unpacks beside the archive, then moves each file into its place."""
        with unpack.working_folder(archive) as folder:
            try:
                found = unpack.extract(archive, file, folder, self._stop)
            except unpack.DamagedArchiveError as error:
                self._reject(
                    dataclasses.replace(came, path=archive), str(error)
                )
            placed = [
                dataclasses.replace(f, path=f"{file.path}/{f.path}")
                for f in found
            ]
            self._check_places(file, placed)
            # Written first: whatever it names may be replaced by a run that
            # goes on after this one is killed.
            receipt = dataclasses.replace(receipt, files=placed)
            write_receipt(file, self._data_dir, receipt)
            for source, target in zip(found, placed):
                path = self._data_dir / target.path
                path.parent.mkdir(parents=True, exist_ok=True)
                (folder / source.path).replace(path)
        receipt = dataclasses.replace(receipt, complete=True)
        write_receipt(file, self._data_dir, receipt)
        if not self._options.keep_archives:
            archive.unlink()
        return receipt

    def _check_places(
        self, file: RemoteFile, placed: Sequence[PlacedFile]
    ) -> None:
        """Raises if other content would be overwritten."""
        if self._options.overwrite:
            return
        old = read_receipt(file, self._data_dir)
        ours = {f.path for f in old.files} if old else set()
        for target in placed:
            path = self._data_dir / target.path
            if target.path in ours or not path.exists():
                continue
            if not path.is_file() or files.sha256(path) != target.sha256:
                raise InputError(
                    f"{path} exists and is not what {file.name} holds. Remove "
                    "it, or pass --overwrite."
                )


@dataclasses.dataclass(frozen=True)
class _Came:
    """A file as it came, just now (`part`) or earlier."""

    path: pathlib.Path
    size: int
    digest: Callable[[str], str]
    part: PartFile | None = None
