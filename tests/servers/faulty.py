"""A web server that serves files and misbehaves on purpose, one request at a time.

Faults are queued for a path; each request takes the next one, and when none is left the server
behaves. Every request is kept in ``seen``, with the bytes of the body that were sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import ssl
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHUNK = 1 << 18


@dataclass(frozen=True)
class Fault:
    """How one answer goes wrong. Fields that are not set leave the answer alone."""

    status: int = 0
    """Answer with this status and no content."""
    drop_after: int = -1
    """Close the connection after so many bytes of the body."""
    stall_after: int = -1
    """Send nothing more after so many bytes, and keep the connection open."""
    ignore_range: bool = False
    """Answer 200 with the whole file whatever was asked for."""
    body: bytes | None = None
    """Send this instead; its own length is announced."""
    length: int = -1
    """Announce this Content-Length, whatever is sent."""
    headers: dict[str, str] = field(default_factory=dict)
    redirect: str = ""
    """Answer 302 to this address."""
    seconds: float = 0.0
    """Wait before answering."""


@dataclass
class Seen:
    """One request, and how it was answered."""

    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    start: int = 0
    """First byte of the file that was sent."""
    sent: int = 0
    """Bytes of the body that were handed to the system."""


@dataclass
class Reply:
    """What a route answers: a body, or a file that ranges can be asked of."""

    body: bytes = b""
    file: Path | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Route = Callable[[Seen, bytes], Reply | None]
"""Given the request and its body; None leaves it to the next route."""


class FaultyServer:
    """A context manager. ``files`` maps paths (``/a/b``, no query) to content.

    ``routes`` are asked first, in order: that is how a hub's API is played on top of it.
    With ``tls`` it speaks HTTPS with a certificate of its own, in ``certificate``.
    """

    def __init__(self, tls: Path | None = None) -> None:
        self.files: dict[str, bytes | Path] = {}
        self.routes: list[Route] = []
        self.seen: list[Seen] = []
        self.certificate = _certificate(tls) if tls else None
        self._faults: dict[str, list[Fault]] = defaultdict(list)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, self.certificate.with_suffix(".key"))
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def host(self) -> str:
        """``localhost:PORT``."""
        return f"localhost:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://{self.host}"

    def fault(self, path: str, *faults: Fault, times: int = 1) -> None:
        """The next requests for ``path`` go wrong like this."""
        with self._lock:
            self._faults[path] += faults * times

    def requests(self, path: str) -> list[Seen]:
        """What was asked for ``path``."""
        return [seen for seen in self.seen if seen.path == path]

    def __enter__(self) -> FaultyServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next_fault(self, path: str) -> Fault:
        with self._lock:
            waiting = self._faults[path]
            return waiting.pop(0) if waiting else Fault()

    def stall(self) -> None:
        """Block until the server ends."""
        self._closing.wait(120)

    def find(self, seen: Seen, body: bytes) -> Reply:
        for route in self.routes:
            reply = route(seen, body)
            if reply is not None:
                return reply
        content = self.files.get(seen.path)
        if content is None:
            return Reply(b"not here", status=404)
        return Reply(file=content) if isinstance(content, Path) else Reply(content)


def _handler(server: FaultyServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_PUT(self) -> None:
            self._answer()

        def log_message(self, *_: Any) -> None:
            return

        def _answer(self) -> None:
            split = urlsplit(self.path)
            seen = Seen(self.command, split.path, dict(self.headers.items()))
            seen.headers["query"] = split.query
            server.seen.append(seen)
            length = int(self.headers.get("Content-Length") or 0)
            content = self.rfile.read(length)
            with contextlib.suppress(ConnectionError, TimeoutError, ssl.SSLError):
                self._reply(seen, server.next_fault(split.path), content)

        def _reply(self, seen: Seen, fault: Fault, content: bytes) -> None:
            time.sleep(fault.seconds)
            if fault.redirect:
                self._head(seen, 302, {"Location": fault.redirect, "Content-Length": "0"})
                return
            if fault.status:
                self._head(seen, fault.status, {"Content-Length": "0", **fault.headers})
                return
            reply = Reply(fault.body) if fault.body is not None else server.find(seen, content)
            size = reply.file.stat().st_size if reply.file else len(reply.body)
            start, end = self._range(size, fault, reply)
            tag = hashlib.sha256(reply.body or str(reply.file).encode()).hexdigest()[:16]
            headers = {"Content-Length": str(end - start), "ETag": f'"{tag}"', **reply.headers}
            status = reply.status
            if start >= size > 0:
                self._head(seen, 416, {"Content-Length": "0", "Content-Range": f"bytes */{size}"})
                return
            if (start, end) != (0, size) or (status == 200 and self._wants_range(fault)):
                status = 206
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
            headers.update(fault.headers)
            if fault.length >= 0:
                headers["Content-Length"] = str(fault.length)
            seen.start = start
            self._head(seen, status, headers)
            if self.command != "HEAD":
                self._body(seen, fault, reply, start, end)
            if fault.length >= 0:
                self.close_connection = True

        def _wants_range(self, fault: Fault) -> bool:
            return bool(self.headers.get("Range")) and not fault.ignore_range

        def _range(self, size: int, fault: Fault, reply: Reply) -> tuple[int, int]:
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            if not found or fault.ignore_range or reply.status != 200:
                return 0, size
            last = int(found.group(2)) if found.group(2) else size - 1
            return int(found.group(1)), min(last + 1, size)

        def _head(self, seen: Seen, status: int, headers: dict[str, str]) -> None:
            seen.status = status
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def _body(self, seen: Seen, fault: Fault, reply: Reply, start: int, end: int) -> None:
            for chunk in _chunks(reply, start, end):
                for limit in (fault.drop_after, fault.stall_after):
                    if 0 <= limit < seen.sent + len(chunk):
                        chunk = chunk[: limit - seen.sent]
                        self.wfile.write(chunk)
                        seen.sent += len(chunk)
                        self._go_wrong(fault)
                        return
                self.wfile.write(chunk)
                seen.sent += len(chunk)

        def _go_wrong(self, fault: Fault) -> None:
            self.wfile.flush()
            self.close_connection = True
            if fault.stall_after >= 0:
                server.stall()

    return Handler


def _chunks(reply: Reply, start: int, end: int) -> Iterator[bytes]:
    if reply.file is None:
        yield reply.body[start:end]
        return
    with reply.file.open("rb") as file:
        file.seek(start)
        left = end - start
        while left and (chunk := file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk


def _certificate(folder: Path) -> Path:
    """A certificate for localhost that signs itself, and its key beside it."""
    certificate = folder / "localhost.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", certificate.with_suffix(".key"), "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate
