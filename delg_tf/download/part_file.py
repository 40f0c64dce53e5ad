"""A file that has come in part, and what it is a part of."""

import base64
import contextlib
import hashlib
import json
import pathlib
import re
from collections.abc import Mapping

from delg_tf.common.files import write_json

# Bytes that are read at a time.
_BLOCK = 1 << 20


class PartFile:
    """`<name>.part`, and `<name>.part.json` with its validator.

    The validator (ETag or Last-Modified) says which version of the file the
    bytes are of: the rest of another version must not be appended.

    Attributes:
        path: the file with what has come.
        size: bytes that have come.
        total: bytes of the whole file, or None if the server did not say.
        validator: for the header If-Range, or None: begin anew.
        server_md5: MD5 that the server sent with it (Google Cloud Storage),
            in hexadecimal, or None.
    """

    def __init__(self, target: pathlib.Path):
        """Finds what an earlier run has left for `target`."""
        self.path = target.with_name(target.name + ".part")
        self._meta = target.with_name(target.name + ".part.json")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._reset()
        with contextlib.suppress(OSError, ValueError, TypeError):
            meta = json.loads(self._meta.read_text(encoding="utf-8"))
            self.validator = meta["validator"]
            self.total = meta["total"]
            self.server_md5 = meta["server_md5"]
            if self.validator:
                self._read()

    def _reset(self) -> None:
        self.size = 0
        self.total: int | None = None
        self.validator: str | None = None
        self.server_md5: str | None = None
        self._digests = {"md5": hashlib.md5(), "sha256": hashlib.sha256()}

    def _read(self) -> None:
        with (
            contextlib.suppress(FileNotFoundError),
            open(self.path, "rb") as file,
        ):
            while block := file.read(_BLOCK):
                self._count(block)

    def _count(self, block: bytes) -> None:
        self.size += len(block)
        for digest in self._digests.values():
            digest.update(block)

    @property
    def is_complete(self) -> bool:
        """Whether all has come that the server announced."""
        return self.total is not None and self.size == self.total

    def digest(self, kind: str) -> str:
        """Returns `md5` or `sha256` of what has come, in hexadecimal."""
        return self._digests[kind].hexdigest()

    def begin(self, headers: Mapping[str, str]) -> None:
        """Forgets what has come: a whole file follows.

        Args:
            headers: of the answer with status 200.
        """
        self.discard()
        etag = headers.get("ETag", "")
        # A weak ETag may stay the same while bytes change.
        strong = etag and not etag.startswith("W/")
        self.validator = etag if strong else headers.get("Last-Modified")
        length = headers.get("Content-Length", "")
        self.total = int(length) if length.isdigit() else None
        self.server_md5 = _google_md5(headers)
        self.path.touch()
        write_json(
            self._meta,
            {
                "validator": self.validator,
                "total": self.total,
                "server_md5": self.server_md5,
            },
        )

    def append(self, block: bytes) -> None:
        """Adds bytes to the end."""
        with open(self.path, "ab") as file:
            file.write(block)
        self._count(block)

    def discard(self) -> None:
        """Removes what has come."""
        for path in (self.path, self._meta):
            path.unlink(missing_ok=True)
        self._reset()

    def become(self, target: pathlib.Path) -> None:
        """Gives the whole file its name."""
        self.path.replace(target)
        self._meta.unlink(missing_ok=True)


def _google_md5(headers: Mapping[str, str]) -> str | None:
    match = re.search(r"md5=([A-Za-z0-9+/]+=*)", headers.get("x-goog-hash", ""))
    return base64.b64decode(match[1]).hex() if match else None
