"""A web server that serves files and misbehaves on purpose, one request at a time.

Faults are queued for a path; each request takes the next one, and when none is left the server
behaves. Every request is kept in ``seen``, with the bytes of the body that were sent. Asked for a
whole address, as a proxy is, it answers for that host itself.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHUNK = 1 << 18


@dataclass(frozen=True)
class Fault:
    """How one answer goes wrong. Fields that are not set leave the answer alone."""

    status: int = 0
    """Answer with this status, and no content but ``body``."""
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
    framing: str = "length"
    """``chunked``, or ``close``: no length is announced."""
    piece: int = CHUNK
    """Bytes that are sent at once."""
    pace: float = 0.0
    """Seconds between pieces."""


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
    target: str = ""
    """As it stood in the request: a proxy is asked for a whole address."""
    over: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)
    """Set when no more will be sent."""


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
        self._server = _Server(("127.0.0.1", 0), _handler(self))
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
        """What was asked for ``path``; waits a little for answers that are still being sent."""
        found = [seen for seen in self.seen if seen.path == path]
        for seen in found:
            seen.over.wait(0.5)
        return found

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


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in mid-answer is what these tests are about."""
        if not isinstance(sys.exc_info()[1], ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)


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
            seen = Seen(self.command, split.path, dict(self.headers.items()), target=self.path)
            seen.headers["query"] = split.query
            server.seen.append(seen)
            length = int(self.headers.get("Content-Length") or 0)
            content = self.rfile.read(length)
            try:
                self._reply(seen, server.next_fault(split.path), content)
            except (ConnectionError, TimeoutError, ssl.SSLError):
                self.close_connection = True
            finally:
                seen.over.set()

        def _reply(self, seen: Seen, fault: Fault, content: bytes) -> None:
            time.sleep(fault.seconds)
            if fault.redirect:
                self._head(seen, 302, {"Location": fault.redirect, "Content-Length": "0"})
                return
            if fault.status and fault.body is None:
                self._head(seen, fault.status, {"Content-Length": "0", **fault.headers})
                return
            reply = server.find(seen, content) if fault.body is None else Reply(fault.body)
            reply = replace(reply, status=fault.status or reply.status)
            size = reply.file.stat().st_size if reply.file else len(reply.body)
            tag = _tag(reply)
            start, end = self._range(size, fault, reply, tag)
            headers = {"Content-Length": str(end - start), "ETag": tag, **reply.headers}
            status = reply.status
            ranged = status == 200 and self._wants_range(fault, tag)
            if ranged and start >= size:
                self._head(seen, 416, {"Content-Length": "0", "Content-Range": f"bytes */{size}"})
                return
            if ranged:
                status = 206
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
            headers.update(fault.headers)
            if fault.length >= 0:
                headers["Content-Length"] = str(fault.length)
            if fault.framing != "length":
                del headers["Content-Length"]
            if fault.framing == "chunked":
                headers["Transfer-Encoding"] = "chunked"
            seen.start = start
            self._head(seen, status, headers)
            if self.command != "HEAD":
                self._body(seen, fault, reply, start, end)
            if fault.length >= 0 or fault.framing == "close":
                self.close_connection = True

        def _wants_range(self, fault: Fault, tag: str) -> bool:
            same = self.headers.get("If-Range") in (None, tag)
            return bool(self.headers.get("Range")) and same and not fault.ignore_range

        def _range(self, size: int, fault: Fault, reply: Reply, tag: str) -> tuple[int, int]:
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            if not found or not self._wants_range(fault, tag) or reply.status != 200:
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
            limits = [at for at in (fault.drop_after, fault.stall_after) if at >= 0]
            for chunk in _chunks(reply, start, end, fault.piece):
                for limit in limits:
                    if limit < seen.sent + len(chunk):
                        self._send(seen, fault, chunk[: limit - seen.sent])
                        self._go_wrong(fault)
                        return
                self._send(seen, fault, chunk)
                time.sleep(fault.pace)
            if fault.framing == "chunked":
                self.wfile.write(b"0\r\n\r\n")

        def _send(self, seen: Seen, fault: Fault, chunk: bytes) -> None:
            if fault.framing == "chunked":
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunk else b"")
            else:
                self.wfile.write(chunk)
            seen.sent += len(chunk)

        def _go_wrong(self, fault: Fault) -> None:
            self.wfile.flush()
            self.close_connection = True
            if fault.stall_after >= 0:
                server.stall()

    return Handler


def _tag(reply: Reply) -> str:
    """A strong ETag: other content has another."""
    content = reply.body
    if reply.file:
        about = reply.file.stat()
        content = f"{reply.file} {about.st_size} {about.st_mtime_ns}".encode()
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'


def _chunks(reply: Reply, start: int, end: int, piece: int) -> Iterator[bytes]:
    if reply.file is None:
        for at in range(start, end, piece):
            yield reply.body[at : min(at + piece, end)]
        return
    with reply.file.open("rb") as file:
        file.seek(start)
        left = end - start
        while left and (chunk := file.read(min(piece, left))):
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
