"""A server on this machine that serves files, badly when it is told to."""

import contextlib
import hashlib
import http.server
import re
import socket
import threading
import time
import urllib.parse
from email.utils import formatdate


class FileServer:
    """Serves `files` under their paths, each first as `faults` say.

    Faults of a path are used up one by one, one a GET:
        ("cut", n): closes the connection after n bytes of the body.
        ("stall", n): sends n bytes and no more.
        ("status", code, headers): refuses.
        ("corrupt",): flips a bit in the middle.
        ("meet", barrier): waits for others before it serves.
    `always` are faults that stay. `sizes` are lengths that HEAD claims.
    `headers` are sent with a path. With `ranges` false, Range is ignored.
    `version` is how files are told from older ones: by a "strong" or "weak"
    ETag, a "date", or "none". `careless` servers ignore If-Range.
    """

    def __init__(self):
        self.files, self.faults, self.always = {}, {}, {}
        self.sizes, self.headers, self.ranges = {}, {}, True
        self.version, self.careless = "strong", False
        # (method, path, header Range) of every request.
        self.requests = []
        self.released = threading.Event()

    @contextlib.contextmanager
    def running(self):
        handler = type("Handler", (_Handler,), {"place": self})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        self.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            self.released.set()
            server.shutdown()
            thread.join()
            server.server_close()

    def gets(self, path=None):
        """Headers Range of the GETs, of one path or of all."""
        return [
            asked
            for method, at, asked in self.requests
            if method == "GET" and path in (None, at)
        ]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    place = None

    def log_message(self, *arguments):
        pass

    def _path(self):
        return urllib.parse.unquote(self.path)

    def do_HEAD(self):
        self._note()
        body = self.place.files.get(self._path())
        size = self.place.sizes.get(self._path(), body and len(body))
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(size or 0))
        self.end_headers()

    def do_GET(self):
        self._note()
        path = self._path()
        fault = self.place.always.get(path)
        if fault is None and self.place.faults.get(path):
            fault = self.place.faults[path].pop(0)
        fault = fault or ("none",)
        if fault[0] == "status":
            return self._refuse(fault[1], fault[2])
        if path not in self.place.files:
            return self._refuse(404, {})
        if fault[0] == "meet":
            fault[1].wait(10)
        self._send(path, self.place.files[path], fault)

    def _note(self):
        self.place.requests.append(
            (self.command, self._path(), self.headers.get("Range"))
        )

    def _refuse(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, path, body, fault):
        name, version = self._version(body)
        start = self._start(version)
        if start and start >= len(body):
            unsatisfied = {"Content-Range": f"bytes */{len(body)}"}
            return self._refuse(416, unsatisfied)
        self.send_response(206 if start else 200)
        if version:
            self.send_header(name, version)
        if start:
            self.send_header(
                "Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}"
            )
        for name, value in self.place.headers.get(path, {}).items():
            self.send_header(name, value)
        if fault[0] == "corrupt":
            middle = len(body) // 2
            flipped = bytes([body[middle] ^ 1])
            body = body[:middle] + flipped + body[middle + 1 :]
        body = body[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault[0] in ("cut", "stall"):
            self.wfile.write(body[: fault[1]])
            self.wfile.flush()
            if fault[0] == "stall":
                self.place.released.wait(20)
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def _version(self, body):
        digest = hashlib.sha1(body).hexdigest()
        return {
            "strong": ("ETag", f'"{digest}"'),
            "weak": ("ETag", f'W/"{digest}"'),
            "date": (
                "Last-Modified",
                formatdate(int(digest[:7], 16), usegmt=True),
            ),
            "none": (None, None),
        }[self.place.version]

    def _start(self, version):
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not self.place.ranges or not match:
            return 0
        # Without If-Range any version is as good.
        known = self.headers.get("If-Range", version) == version
        return int(match[1]) if known or self.place.careless else 0


def wait_until(condition, seconds=10):
    """Waits for other threads, and fails if they take too long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
