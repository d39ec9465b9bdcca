"""How fast a file is had: the kit's download beside `curl -so FILE URL && sha256sum FILE`.

    PYTHON scripts/measure_download.py [--bytes N] [--times 3] [--folder DIR] [--kill]

Makes a file (2 GB), serves it from a process of its own on the loopback, and has it by each way in
turn, into the same folder. The kit's time includes the start of Python. With --kill a first process
is killed (SIGKILL) in mid-transfer and a second one finishes: printed is what both asked for, what
was sent, and what lay on disk between them. Runs on the environment's Python; needs curl and
sha256sum; prints one JSON document.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

BLOCK = 1 << 24
LOG = "requests.jsonl"


class Handler(BaseHTTPRequestHandler):
    """One file, whole or from a byte on, by sendfile; what was sent goes to the log."""

    protocol_version = "HTTP/1.1"
    file = Path()

    def log_message(self, *_: Any) -> None:
        return

    def do_GET(self) -> None:
        size = self.file.stat().st_size
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(found.group(1)) if found else 0
        self.send_response(206 if found else 200)
        self.send_header("Content-Length", str(size - start))
        self.send_header("ETag", f'"{size}"')
        if found:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()
        self.wfile.flush()
        at = start
        with self.file.open("rb") as file, contextlib.suppress(ConnectionError):
            while at < size:
                at += os.sendfile(self.connection.fileno(), file.fileno(), at, BLOCK)
        line = {"range": self.headers.get("Range"), "start": start, "sent": at - start}
        with (self.file.parent / LOG).open("a") as log:
            log.write(json.dumps(line) + "\n")


def serve(file: Path) -> None:
    Handler.file = file
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}/{file.name}\n")
    sys.stdout.flush()
    server.serve_forever()


def fetch(address: str, part: Path, size: int) -> None:
    from llavakit.steps.sources.base import RemoteFile
    from llavakit.steps.sources.http import Http

    file = RemoteFile(part.name, size, address=address)
    sys.stdout.write(Http("loopback").fetch(file, part, Quiet()) + "\n")


class Quiet:
    def add(self, count: int) -> None: ...

    def have(self, count: int) -> None: ...

    def note(self, text: str) -> None:
        sys.stderr.write(text + "\n")


def make(file: Path, size: int) -> str:
    """Write ``size`` bytes that do not compress; their sha256."""
    block, sha256 = os.urandom(BLOCK), hashlib.sha256()
    with file.open("wb") as out:
        for at in range(0, size, BLOCK):
            piece = at.to_bytes(8, "big") + block[8 : min(BLOCK, size - at)]
            out.write(piece)
            sha256.update(piece)
    return sha256.hexdigest()


@contextlib.contextmanager
def served(file: Path) -> Iterator[str]:
    words = [sys.executable, __file__, "--serve", str(file)]
    with subprocess.Popen(words, text=True, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None  # noqa: S101 - it is a pipe
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def kit(address: str, part: Path, size: int) -> list[str]:
    return [sys.executable, __file__, "--fetch", address, str(part), str(size)]


def timed(words: list[str], part: Path, sha256: str) -> float:
    """Seconds that a command takes to print the right hash; the disk is quiet before."""
    part.unlink(missing_ok=True)
    os.sync()
    started = time.monotonic()
    done = subprocess.run(words, check=True, text=True, stdout=subprocess.PIPE)
    seconds = time.monotonic() - started
    if done.stdout.split()[0] != sha256:
        raise SystemExit(f"{words}: wrong bytes")
    return round(seconds, 2)


def compare(address: str, part: Path, size: int, sha256: str, times: int) -> dict[str, Any]:
    curl = ["sh", "-euc", f"curl -so '{part}' {address} && sha256sum '{part}'"]
    ways = {"curl && sha256sum": curl, "kit": kit(address, part, size)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(times):
        for name, words in ways.items():
            seconds[name].append(timed(words, part, sha256))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratio = round(medians["kit"] / medians["curl && sha256sum"], 2)
    return {"seconds": seconds, "medians": medians, "kit / curl && sha256sum": ratio}


def kill(address: str, part: Path, size: int, sha256: str) -> dict[str, Any]:
    """Kill the first process when a third has arrived; the second must ask for the rest only."""
    log = part.with_name(LOG)
    with subprocess.Popen(kit(address, part, size), stdout=subprocess.DEVNULL) as first:
        while not part.exists() or part.stat().st_size < size // 3:
            time.sleep(0.005)
        first.kill()
    on_disk = part.stat().st_size
    done = subprocess.run(kit(address, part, size), check=True, text=True, stdout=subprocess.PIPE)
    requests = [json.loads(line) for line in log.read_text().splitlines()]
    sent = sum(request["sent"] for request in requests)
    return {
        "requests": requests,
        "on disk after SIGKILL": on_disk,
        "second began where the part ended": requests[1]["start"] == on_disk,
        "sent twice": sent - size,
        "sent, never on disk": requests[0]["sent"] - on_disk,
        "right": done.stdout.strip() == sha256,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bytes", type=int, default=2_000_000_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="on the disk that counts")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--fetch", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args.serve)
    if args.fetch:
        return fetch(args.fetch[0], Path(args.fetch[1]), int(args.fetch[2]))
    for tool in ("curl", "sha256sum"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is not installed")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        file, part = Path(folder) / "file.bin", Path(folder) / "file.part"
        sha256 = make(file, args.bytes)
        with served(file) as address:
            given = (address, part, args.bytes, sha256)
            found = kill(*given) if args.kill else compare(*given, args.times)
    body = {"bytes": args.bytes, "cores": os.cpu_count(), **found}
    sys.stdout.write(json.dumps(body, indent=2) + "\n")
    return None


if __name__ == "__main__":
    main()
