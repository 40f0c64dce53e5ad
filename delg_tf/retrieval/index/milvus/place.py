"""Where an index on Milvus is, written as one line.

    milvus:PATH.db#COLLECTION                Milvus Lite, a folder PATH.db
    milvus+http://HOST:19530/COLLECTION      a server or a cluster
    milvus+https://HOST/COLLECTION

Options follow a "?", joined by "&":

    local_store=FOLDER  where local features lie, see `local_shards`; as a
                        machine mounts it. A cluster's index needs it.
    shards=16           files of them, when the index is created
    consistency=Strong  of reading: Strong, Bounded, Session or Eventually
    database=NAME       of the server

A token is never written there: it is read from the environment, MILVUS_TOKEN.
"""

import dataclasses
import re
import urllib.parse

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike

TOKEN_VARIABLE = "MILVUS_TOKEN"
DEFAULT_SHARDS = 16
_MAX_SHARDS = 4096
_CONSISTENCIES = ("Strong", "Bounded", "Session", "Eventually")
# Milvus takes 255; names of what belongs to an index are longer.
_COLLECTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_HELP = (
    "Write milvus:PATH.db#COLLECTION or milvus+http://HOST:19530/COLLECTION, "
    "the collection in letters, digits and _, and options such as "
    "?local_store=FOLDER&shards=16."
)


@dataclasses.dataclass(frozen=True)
class MilvusPlace:
    """A place.

    Attributes:
        uri: what pymilvus connects to: an address, or a path of Milvus Lite.
        collection: name of the index.
        local_store: folder of local features; "" for that of the index.
        shards: number of their files in a new index.
        consistency: of reading, as Milvus calls it.
        database: of the server; "" for its default.
    """

    uri: str
    collection: str
    local_store: str = ""
    shards: int = DEFAULT_SHARDS
    consistency: str = "Strong"
    database: str = ""

    @property
    def is_lite(self) -> bool:
        """Whether it is a file of Milvus Lite."""
        return "://" not in self.uri

    @property
    def text(self) -> str:
        """The place as one line."""
        options = {
            field.name: str(getattr(self, field.name))
            for field in dataclasses.fields(self)[2:]
            if getattr(self, field.name) != field.default
        }
        query = f"?{urllib.parse.urlencode(options)}" if options else ""
        if self.is_lite:
            return f"milvus:{self.uri}#{self.collection}{query}"
        return f"milvus+{self.uri}/{self.collection}{query}"

    @property
    def file_beside(self) -> str:
        """Path to write what a run has to say beside the index."""
        if self.is_lite:
            return f"{self.uri}.{self.collection}"
        return self.collection

    def renamed(self, collection: str) -> "MilvusPlace":
        """Returns the place of another index on the same Milvus."""
        return dataclasses.replace(self, collection=collection)


def is_milvus(place: PathLike) -> bool:
    """Whether a place is on Milvus, rather than a folder."""
    return isinstance(place, str) and place.startswith(("milvus:", "milvus+"))


def parse_place(text: str) -> MilvusPlace:
    """Reads a place.

    Raises:
        InputError: it is malformed, or holds a password.
    """
    address, _, query = text.partition("?")
    if address.startswith("milvus:"):
        uri, _, collection = address.removeprefix("milvus:").rpartition("#")
        sound = uri.endswith(".db") and "://" not in uri
    else:
        uri, collection, sound = _server(address.removeprefix("milvus+"))
    if not sound or not _COLLECTION.fullmatch(collection):
        raise InputError(f"{text!r} is no place on Milvus. {_HELP}")
    return MilvusPlace(uri, collection, **_options(text, query))


def _server(address: str) -> tuple[str, str, bool]:
    """Returns address, collection, and whether they are sound."""
    try:
        parts = urllib.parse.urlsplit(address)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname)
        sound = sound and (parts.port or 1) > 0 and not parts.fragment
    except ValueError:
        return "", "", False
    if "@" in parts.netloc:
        raise InputError(
            "An index's place holds no user and no password: set the "
            f"environment variable {TOKEN_VARIABLE} to TOKEN or USER:PASSWORD."
        )
    return (
        f"{parts.scheme}://{parts.netloc}",
        parts.path.removeprefix("/"),
        sound,
    )


def _options(text: str, query: str) -> dict[str, str | int]:
    try:
        pairs = urllib.parse.parse_qsl(query, strict_parsing=bool(query))
    except ValueError as error:
        raise InputError(f"{text!r}: {error}. {_HELP}") from error
    options: dict[str, str | int] = dict(pairs)
    known = {"local_store", "shards", "consistency", "database"}
    if len(options) < len(pairs) or not set(options) <= known:
        raise InputError(
            f"{text!r}: options are {', '.join(sorted(known))}, each once. "
            f"{_HELP}"
        )
    if "shards" in options:
        number = str(options["shards"])
        if not number.isdecimal() or not 1 <= int(number) <= _MAX_SHARDS:
            raise InputError(
                f"{text!r}: shards must be a number from 1 to {_MAX_SHARDS}."
            )
        options["shards"] = int(number)
    if options.get("consistency", "Strong") not in _CONSISTENCIES:
        raise InputError(
            f"{text!r}: consistency must be one of {', '.join(_CONSISTENCIES)}."
        )
    return options
