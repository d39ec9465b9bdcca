"""A Docker engine that misbehaves as a test wants it: the part of the Engine API that the kit uses.

It runs nothing. A container "runs" for as long as its :class:`Play` says, and says its lines. A
fault is put before a route (``engine.before("start", refuse(500, "..."))``) and counts once, or
``times``. The kit finds it like any engine, by DOCKER_HOST.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import socketserver
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from engine_faults.texts import said

API = "1.41"
ROUTES = (
    ("GET", r"/_ping", "ping"),
    ("GET", r"/version", "version"),
    ("GET", r"/info", "info"),
    ("GET", r"/images/json", "images"),
    ("GET", r"/images/(?P<name>.+)/json", "image"),
    ("GET", r"/containers/json", "list"),
    ("POST", r"/containers/create", "create"),
    ("POST", r"/containers/(?P<name>[^/]+)/start", "start"),
    ("POST", r"/containers/(?P<name>[^/]+)/wait", "wait"),
    ("POST", r"/containers/(?P<name>[^/]+)/(stop|kill)", "stop"),
    ("GET", r"/containers/(?P<name>[^/]+)/logs", "logs"),
    ("GET", r"/containers/(?P<name>[^/]+)/json", "inspect"),
    ("DELETE", r"/containers/(?P<name>[^/]+)", "remove"),
)


@dataclass
class Play:
    """How a container goes: what it prints, for how long it runs, and how it ends."""

    output: bytes = b"ran\n"
    seconds: float = 0.0
    exit_code: int = 0
    oom: bool = False


@dataclass
class FakeContainer:
    name: str
    config: dict[str, Any]
    play: Play
    id: str = field(default_factory=lambda: secrets.token_hex(32))
    began: float = 0.0
    ended: int | None = None
    """The exit code, once it was stopped or its engine went down."""
    error: str = ""

    @property
    def status(self) -> str:
        if not self.began:
            return "created"
        over = time.monotonic() - self.began >= self.play.seconds
        return "exited" if self.ended is not None or over else "running"

    def state(self) -> dict[str, Any]:
        code = self.play.exit_code if self.ended is None else self.ended
        code = {"created": 128 if self.error else 0, "running": 0}.get(self.status, code)
        oom = self.play.oom and self.status == "exited"
        return {"Status": self.status, "Running": self.status == "running", "ExitCode": code,
                "OOMKilled": oom, "Error": self.error}  # fmt: skip

    def inspect(self) -> dict[str, Any]:
        labels = self.config.get("Labels") or {}
        body = {"Id": self.id, "Name": f"/{self.name}", "State": self.state()}
        return {**body, "Config": {"Labels": labels, "Tty": False, "OpenStdin": False}}


Fault = Callable[["Handler"], None]


def refuse(status: int, text: str) -> Fault:
    """The engine answers that it will not."""
    return lambda handler: handler.answer(status, {"message": text})


def drop(handler: Handler) -> None:
    """The connection ends without an answer, as when an engine dies."""
    handler.close_connection = True


def silent(seconds: float) -> Fault:
    """Nothing is said for so long, then the connection ends."""

    def wait(handler: Handler) -> None:
        handler.server.engine.stopped.wait(seconds)
        drop(handler)

    return wait


def cut(count: int) -> Fault:
    """A log stream ends, in good order, after ``count`` bytes of output."""
    return lambda handler: handler.stream(handler.container().play.output[:count])


def stuck(count: int, seconds: float = 600.0) -> Fault:
    """A log stream says ``count`` bytes and then nothing, and does not end."""

    def say(handler: Handler) -> None:
        handler.stream(handler.container().play.output[:count])
        handler.wfile.flush()
        handler.server.engine.stopped.wait(seconds)

    return say


class FakeEngine:
    """Listens on ``socket`` between :meth:`start` and :meth:`stop`; what it knows stays."""

    def __init__(self, socket: Path, image: str = "llavakit:fake", labels: Any = None) -> None:
        self.socket, self.image, self.labels = socket, image, dict(labels or {})
        self.info: dict[str, Any] = {"MemoryLimit": True, "PidsLimit": True, "Name": "fake"}
        self.api, self.play = API, Play()
        self.containers: dict[str, FakeContainer] = {}
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        self.seen: list[str] = []
        self.stopped = threading.Event()

    def before(self, route: str, *faults: Fault, times: int = 1) -> None:
        self.faults[route].extend(faults * times)

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        self.stopped.clear()
        self._server = _Server(str(self.socket), Handler)
        self._server.engine = self
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """As a daemon that is stopped: its socket is gone, and so is who waits for an answer."""
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self.socket.unlink(missing_ok=True)

    def __enter__(self) -> FakeEngine:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.stop()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads, block_on_close, allow_reuse_address = True, False, True
    engine: FakeEngine


class Handler(BaseHTTPRequestHandler):
    server: _Server
    route, name = "", ""
    query: dict[str, list[str]]

    def log_message(self, *_: object) -> None:
        return

    def handle_one_request(self) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            super().handle_one_request()

    def _do(self) -> None:
        parts = urlsplit(self.path)
        path = re.sub(r"^/v[\d.]+", "", unquote(parts.path))
        length = int(self.headers.get("Content-Length") or 0)
        self.body = json.loads(self.rfile.read(length) or b"{}") if length else {}
        self.query = parse_qs(parts.query)
        for method, pattern, route in ROUTES:
            if method == self.command and (found := re.fullmatch(pattern, path)):
                self.route, self.name = route, found.groupdict().get("name") or ""
                break
        engine = self.server.engine
        engine.seen.append(self.route or f"{self.command} {path}")
        faults = engine.faults[self.route]
        try:
            faults.popleft()(self) if faults else getattr(self, self.route or "unknown")()
        except LookupError:
            self.refuse("no-container", name=self.name)

    do_GET = do_POST = do_DELETE = _do  # noqa: N815

    def answer(self, status: int, body: Any = None) -> None:
        data = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, output: bytes) -> None:
        """A log: frames of standard output, until the connection ends."""
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.docker.raw-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for start in range(0, len(output), 4096):
            piece = output[start : start + 4096]
            self.wfile.write(struct.pack(">BxxxL", 1, len(piece)) + piece)

    def container(self) -> FakeContainer:
        """Raises LookupError for one that is not there."""
        for each in self.server.engine.containers.values():
            if self.name in (each.id, each.name):
                return each
        raise LookupError(self.name)

    def refuse(self, text: str, **params: str) -> None:
        status, message = said(text, **params)
        self.answer(status, {"message": message})

    def unknown(self) -> None:
        self.answer(404, {"message": "page not found"})

    def ping(self) -> None:
        self.answer(200, b"OK")

    def version(self) -> None:
        api = self.server.engine.api
        self.answer(200, {"Version": "20.10.24+fake", "ApiVersion": api, "MinAPIVersion": "1.12"})

    def info(self) -> None:
        self.answer(200, self.server.engine.info)

    def images(self) -> None:
        self.answer(200, [{"Id": "sha256:fa4e", "RepoTags": [self.server.engine.image]}])

    def image(self) -> None:
        engine = self.server.engine
        if self.name not in (engine.image, "sha256:fa4e"):
            return self.refuse("no-image", image=self.name)
        config = {"Labels": engine.labels}
        self.answer(200, {"Id": "sha256:fa4e", "RepoTags": [engine.image], "Config": config})

    def list(self) -> None:
        wanted = json.loads(self.query.get("filters", ["{}"])[0])
        every = self.query.get("all", ["0"])[0] in ("1", "True", "true")
        states = set(wanted.get("status") or ()) or ({"running"} if not every else None)
        shown = []
        for each in list(self.server.engine.containers.values()):
            labels = each.config.get("Labels") or {}
            pairs = {*labels, *(f"{key}={value}" for key, value in labels.items())}
            if set(wanted.get("label") or ()) <= pairs and (not states or each.status in states):
                shown.append({"Id": each.id, "Names": [f"/{each.name}"], "Labels": labels})
        self.answer(200, shown)

    def create(self) -> None:
        engine, name = self.server.engine, self.query["name"][0]
        if self.body["Image"] != engine.image:
            return self.refuse("no-image", image=self.body["Image"])
        made = FakeContainer(name, self.body, engine.play)
        engine.containers[made.id] = made
        self.answer(201, {"Id": made.id, "Warnings": []})

    def start(self) -> None:
        each = self.container()
        each.began = time.monotonic()
        self.answer(204)

    def wait(self) -> None:
        each = self.container()
        while each.status == "running" and not self.server.engine.stopped.wait(0.01):
            continue
        if each.status == "running":
            return drop(self)
        self.answer(200, {"StatusCode": each.state()["ExitCode"]})

    def stop(self) -> None:
        each = self.container()
        each.ended = 143
        self.answer(204)

    def logs(self) -> None:
        each = self.container()
        follow = self.query.get("follow", ["0"])[0] in ("1", "True", "true")
        while follow and each.status == "running":
            if self.server.engine.stopped.wait(0.01):
                return drop(self)
        self.stream(each.play.output)

    def inspect(self) -> None:
        each = self.container()
        self.answer(200, each.inspect())

    def remove(self) -> None:
        each = self.container()
        del self.server.engine.containers[each.id]
        self.answer(204)
