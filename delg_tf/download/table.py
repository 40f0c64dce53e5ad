"""What is known about a file and about a data set before it is downloaded."""

import dataclasses
import pathlib
import urllib.parse


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file on a server, and what becomes of it.

    Attributes:
        url: the official address.
        path: where it goes, relative to the data folder: the file itself, or
            the folder into which an archive is unpacked.
        unpack: whether it is an archive (tar, plain or compressed, or zip).
        flatten: whether folders inside the archive are dropped.
        members: patterns (`fnmatch`) of the names in the archive that are
            wanted, without their folders.
        md5: published MD5, in hexadecimal, or None.
        md5_url: address of a file that begins with the MD5, or None.
        sha256: published SHA-256 in hexadecimal, or its first digits, or None.
        part: number of the archive among those that a data set is cut into,
            or None.
    """

    url: str
    path: str
    unpack: bool = False
    flatten: bool = False
    members: tuple[str, ...] = ("*",)
    md5: str | None = None
    md5_url: str | None = None
    sha256: str | None = None
    part: int | None = None

    @property
    def name(self) -> str:
        """The file's name on the server."""
        return self.path_on_server.rsplit("/", 1)[-1]

    @property
    def path_on_server(self) -> str:
        """The address without scheme, host and leading slash."""
        return urllib.parse.urlsplit(self.url).path.lstrip("/")

    def kept_in(self, data_dir: pathlib.Path) -> pathlib.Path:
        """Where the file lies as it came, while and after it is loaded.

        For an archive `downloads/` and its path on the server, for another
        file its own place.
        """
        if self.unpack:
            return data_dir / DOWNLOADS / self.path_on_server
        return data_dir / self.path


@dataclasses.dataclass(frozen=True)
class DataSet:
    """Files that belong together.

    Attributes:
        name: what `--dataset` calls it.
        title: one line for people.
        page: the page of those who publish it.
        licence: what they say about its use.
        checksums: what there is to check the files by.
        files: what is downloaded; empty if that must be done by hand.
        by_hand: what to do where a licence wants a person to do it.
    """

    name: str
    title: str
    page: str
    licence: str
    checksums: str
    files: tuple[RemoteFile, ...] = ()
    by_hand: str = ""


# Archives, unfinished downloads and receipts, in the data folder.
DOWNLOADS = "downloads"
