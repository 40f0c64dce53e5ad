"""What a download has put on the disk, in `downloads/*.receipt.json.gz`."""

import dataclasses
import gzip
import json
import pathlib
from collections.abc import Iterator, Sequence

from delg_tf.common.files import atomic_write
from delg_tf.download.table import DOWNLOADS, RemoteFile

_VERSION = 1


@dataclasses.dataclass(frozen=True)
class PlacedFile:
    """A file in its place.

    Attributes:
        path: relative to the data folder, with slashes.
        size: bytes.
        sha256: of its bytes, in hexadecimal.
    """

    path: str
    size: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Receipt:
    """All that one remote file has become.

    Attributes:
        url: where it was taken from.
        sha256: of the file as it came.
        checked_by: the published checksum that it fits, in words, or None.
        complete: false while the files are being put in place.
        files: what there must be now.
    """

    url: str
    sha256: str
    checked_by: str | None
    complete: bool
    files: Sequence[PlacedFile]


def receipt_path(file: RemoteFile, data_dir: pathlib.Path) -> pathlib.Path:
    """Returns where the receipt of a file lies."""
    name = file.path_on_server + ".receipt.json.gz"
    return data_dir / DOWNLOADS / name


def write_receipt(
    file: RemoteFile, data_dir: pathlib.Path, receipt: Receipt
) -> None:
    """Writes a receipt, atomically."""
    content = dataclasses.asdict(receipt) | {"version": _VERSION}
    content["files"] = [dataclasses.astuple(f) for f in receipt.files]
    with atomic_write(receipt_path(file, data_dir)) as raw:
        raw.write(gzip.compress(json.dumps(content).encode(), mtime=0))


def read_receipt(file: RemoteFile, data_dir: pathlib.Path) -> Receipt | None:
    """Returns the receipt of a file; None if there is none, or a damaged one.

    Without it the file is downloaded again, and files that are in place and
    the same are kept.
    """
    try:
        content = json.loads(
            gzip.decompress(receipt_path(file, data_dir).read_bytes())
        )
        if content.pop("version") != _VERSION:
            return None
        content["files"] = [PlacedFile(*entry) for entry in content["files"]]
        return Receipt(**content)
    except (OSError, EOFError, ValueError, TypeError, KeyError):
        return None


def missing_files(receipt: Receipt, data_dir: pathlib.Path) -> Iterator[str]:
    """Yields files that are gone or have another size; reads no content."""
    for placed in receipt.files:
        try:
            size = (data_dir / placed.path).stat().st_size
        except OSError:
            yield placed.path
            continue
        if size != placed.size:
            yield placed.path
