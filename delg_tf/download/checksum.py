"""What a file is checked by."""

import dataclasses
import pathlib
import re
import threading

from delg_tf.common.errors import InputError
from delg_tf.download.table import RemoteFile
from delg_tf.download.transfer import TransferOptions, fetch


@dataclasses.dataclass(frozen=True)
class Checksum:
    """A published checksum.

    Attributes:
        kind: `md5` or `sha256`.
        value: in hexadecimal; of a SHA-256 perhaps its first digits only.
        source: who says so.
    """

    kind: str
    value: str
    source: str

    def fits(self, digest: str) -> bool:
        """Whether a file with this digest is the one that was published."""
        return digest.startswith(self.value)

    def __str__(self) -> str:
        return f"{self.kind} {self.value} ({self.source})"


def published_checksum(
    file: RemoteFile,
    server_md5: str | None,
    address: str | None,
    data_dir: pathlib.Path,
    options: TransferOptions,
    stop: threading.Event,
) -> Checksum | None:
    """Returns what is published about a file that has come, or None.

    Args:
        file: the file.
        server_md5: what the server sent with it, or None.
        address: where to take `file.md5_url` from, a mirror perhaps.
        data_dir: the data folder, for the file with the checksum.
        options: when to give up.
        stop: ends the download of the file with the checksum.

    Raises:
        InputError: the file with the checksum cannot be had.
    """
    if file.md5:
        return Checksum("md5", file.md5, "table of this program")
    if file.sha256:
        return Checksum("sha256", file.sha256, "table of this program")
    if address:
        target = RemoteFile(file.md5_url, "", unpack=True).kept_in(data_dir)
        return Checksum(
            "md5", _read_md5_file(address, target, options, stop), address
        )
    if server_md5:
        return Checksum("md5", server_md5, "sent by the server")
    return None


def _read_md5_file(
    address: str,
    target: pathlib.Path,
    options: TransferOptions,
    stop: threading.Event,
) -> str:
    part = fetch(address, target, options, lambda size: None, stop)
    try:
        text = part.path.read_text(encoding="utf-8", errors="replace")
    finally:
        part.discard()
    match = re.match(r"\s*([0-9a-fA-F]{32})\b", text)
    if not match:
        raise InputError(
            f"{address} holds no MD5. Pass --ignore_checksums to do without."
        )
    return match[1].lower()
