"""One file over HTTP, gone on with where it was cut off."""

import contextlib
import dataclasses
import pathlib
import re
import threading
from collections.abc import Callable

import requests
import urllib3
from absl import logging

import delg_tf
from delg_tf.common.errors import InputError
from delg_tf.download.part_file import PartFile

# Most bytes that are written at a time.
_BLOCK = 1 << 18
# Longest pause between two attempts, in seconds.
_LONGEST_PAUSE = 120.0
_HEADERS = {
    "User-Agent": f"delg-tf/{delg_tf.__version__}",
    # What is counted, hashed and resumed are the bytes of the file itself.
    "Accept-Encoding": "identity",
}
_PERMANENT = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.TooManyRedirects,
)


@dataclasses.dataclass(frozen=True)
class TransferOptions:
    """How patient a download is.

    Attributes:
        timeout_seconds: without a connection, or a byte, for so long an
            attempt is given up.
        attempts: how often it is tried without coming further.
        backoff_seconds: pause after the first failure; doubled each time.
    """

    timeout_seconds: float = 60.0
    attempts: int = 6
    backoff_seconds: float = 1.0


class StoppedError(Exception):
    """The downloads are given up; what has come stays."""


class _PassingError(Exception):
    """What may go better next time."""

    def __init__(self, message: str, pause: float | None = None):
        super().__init__(message)
        self.pause = pause


def fetch(
    url: str,
    target: pathlib.Path,
    options: TransferOptions,
    advance: Callable[[int], None],
    stop: threading.Event,
) -> PartFile:
    """Downloads a file to its `.part`, which the caller checks and renames.

    Args:
        url: its address.
        target: what it is to become.
        options: when to give up.
        advance: called with the number of bytes that come, or with a negative
            one when they, or those of an earlier run, are thrown away.
        stop: ends the download when it is set.

    Returns:
        The whole file, under its name with `.part`.

    Raises:
        InputError: the server refuses it, or does not answer in time.
        StoppedError: `stop` was set.
    """
    part = PartFile(target)
    failures, furthest = 0, part.size
    with requests.Session() as session:
        while not part.is_complete:
            try:
                _receive(session, url, part, options, advance, stop)
                break
            except _PassingError as error:
                failures = 1 if part.size > furthest else failures + 1
                furthest = max(furthest, part.size)
                if failures >= options.attempts:
                    raise InputError(
                        f"{url}: {error} ({failures} times). Run the same "
                        "command again to go on, or try --mirror."
                    ) from error
                pause = options.backoff_seconds * 2 ** (failures - 1)
                pause = min(max(pause, error.pause or 0), _LONGEST_PAUSE)
                logging.warning("%s: %s; again in %.1f s", url, error, pause)
                if stop.wait(pause):
                    raise StoppedError from error
    return part


def _receive(
    session: requests.Session,
    url: str,
    part: PartFile,
    options: TransferOptions,
    advance: Callable[[int], None],
    stop: threading.Event,
) -> None:
    """Receives what is missing, in one answer of the server."""
    headers = dict(_HEADERS)
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        headers["If-Range"] = part.validator
    try:
        with session.get(
            url, headers=headers, stream=True, timeout=options.timeout_seconds
        ) as answer:
            _check_answer(answer, url)
            _place_answer(answer, part, advance)
            # read1: what has come is kept, however little, if more never does.
            while block := answer.raw.read1(_BLOCK, decode_content=False):
                if stop.is_set():
                    raise StoppedError
                part.append(block)
                advance(len(block))
    except _PERMANENT as error:
        raise InputError(f"{url} cannot be downloaded: {error}") from error
    except urllib3.exceptions.ReadTimeoutError as error:
        raise _PassingError(_no_byte(options)) from error
    except requests.exceptions.Timeout as error:
        raise _PassingError(_no_byte(options)) from error
    except (
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
    ) as error:
        raise _PassingError(f"the connection failed: {error}") from error
    if part.total is not None and part.size != part.total:
        raise _PassingError(f"ended after {part.size} of {part.total} bytes")


def _no_byte(options: TransferOptions) -> str:
    return f"nothing came for {options.timeout_seconds:g} s"


def _check_answer(answer: requests.Response, url: str) -> None:
    """Raises unless the answer is (a part of) the file."""
    status = answer.status_code
    if status in (408, 425, 429) or status >= 500:
        pause = None
        with contextlib.suppress(urllib3.exceptions.InvalidHeader):
            pause = urllib3.Retry().parse_retry_after(
                answer.headers.get("Retry-After", "")
            )
        raise _PassingError(f"the server answers {status}", pause)
    if status not in (200, 206, 416):
        raise InputError(
            f"{url}: the server answers {status} ({answer.reason}). The file "
            "may have moved, or its page asks for something first; --mirror "
            "takes it from elsewhere."
        )
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise InputError(
            f"{url}: the server sends a web page in place of the file. Open "
            "the address in a browser to see what it asks for."
        )
    # Apache calls the compression of a .tgz its encoding.
    encoding = answer.headers.get("Content-Encoding", "identity")
    if encoding != "identity" and not url.endswith(("gz", ".tar", ".zip")):
        raise InputError(f"{url}: the server sends it encoded ({encoding}).")


def _place_answer(
    answer: requests.Response, part: PartFile, advance: Callable[[int], None]
) -> None:
    """Prepares `part` for the bytes that follow."""
    if answer.status_code == 206:
        text = answer.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", text)
        if match and int(match[1]) == part.size:
            if part.total is None and match[2] != "*":
                part.total = int(match[2])
            if match[2] in ("*", str(part.total)):
                return
    # The whole file: ranges are ignored, or it has changed. Or a range that
    # was not asked for, or one that does not exist.
    advance(-part.size)
    if answer.status_code == 200:
        part.begin(answer.headers)
    else:
        part.discard()
        raise _PassingError("the server sends another part of the file")


def size_of(url: str, options: TransferOptions) -> int | None:
    """Asks how many bytes a file has; None if the server does not say.

    Raises:
        ConnectionError: the server cannot be reached.
    """
    try:
        answer = requests.head(
            url,
            headers=_HEADERS,
            allow_redirects=True,
            timeout=options.timeout_seconds,
        )
    except requests.exceptions.RequestException as error:
        raise ConnectionError(f"{url}: {error}") from error
    length = answer.headers.get("Content-Length", "")
    return int(length) if answer.ok and length.isdigit() else None
