"""Files over HTTP(S): gone on from where they broke off, written and hashed as they arrive.

Proxies, certificates and ``.netrc`` are requests' affair and follow its environment variables.
"""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import requests
from requests.auth import AuthBase
from urllib3 import exceptions as urllib3_errors
from urllib3.util import Retry

from llavakit.errors import SourceError
from llavakit.steps.sources.base import Meter, RemoteFile

BUFFER = 1 << 18
SNIFFED = 512
"""Bytes that tell a web page or a pointer from a file."""
POINTER = b"version https://git-lfs.github.com/spec/"
LARGEST_POINTER = 1024
PAGES = (b"<!doctype html", b"<html")
MOST_REDIRECTS = 10
FOREIGN = (requests.RequestException, urllib3_errors.HTTPError)
PASSING = frozenset({"unreachable", "stalled", "broken", "server"})
"""What may go away by itself."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, and how often to try again. Times in seconds."""

    connect: float = 10.0
    read: float = 30.0
    window: float = 60.0
    least: int = 16 * 1024
    """Fewer bytes than this in a window are no better than none."""
    tries: int = 5
    """In a row, without one byte that was not there before."""
    most: int = 200
    """In all."""
    backoff: float = 0.5
    """Before the first new try; doubles with every try that brings nothing."""
    longest: float = 30.0
    """Whatever Retry-After asks for."""


class Http:
    """Brings files from addresses; safe for threads."""

    def __init__(
        self,
        title: str,
        session: requests.Session | None = None,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        self.title = title
        self._session = session or requests.Session()
        self._session.max_redirects = MOST_REDIRECTS
        self._patience = patience

    def describe(self, address: str, headers: Mapping[str, str] | None = None) -> RemoteFile:
        """Size and ETag of what is at ``address``; its name is the address's last part.

        Raises SourceError as :meth:`llavakit.steps.sources.base.Remote.list` does.
        """
        name = unquote(PurePosixPath(urlsplit(address).path).name)
        file = RemoteFile(name, address=address, headers=headers or {})
        try:
            return self._described(file)
        except SourceError as error:
            if error.name not in PASSING:
                raise
        time.sleep(self._patience.backoff)
        return self._described(file)

    def fetch(self, file: RemoteFile, part: Path, meter: Meter) -> str:
        """Bring ``file`` into ``part`` and return its sha256.

        Raises SourceError as :meth:`llavakit.steps.sources.base.Remote.fetch` says, OSError as the
        disk does.
        """
        with _Part(part, file, meter) as kept:
            try:
                self._bring(file, kept)
            except SourceError as error:
                if error.name == "wrong-length":
                    kept.start_over()
                raise
            return kept.sha256

    def _described(self, file: RemoteFile) -> RemoteFile:
        try:
            with self._ask("HEAD", file) as response:
                size = _span(response)[1]
                if response.status_code == 200 and size:
                    return self._as_file(file, response, size)
            # Not every server answers HEAD, and some announce nothing or a zero.
            with self._ask("GET", file, {"Range": "bytes=0-0"}) as response:
                if response.status_code == 416:  # so it does where a file is empty
                    return self._as_file(file, response, 0)
                check_status(response.status_code, self.title, file.name)
                return self._as_file(file, response, _span(response)[1])
        except FOREIGN as error:
            raise explain(error, self.title, file.name, self._patience.read) from error

    def _as_file(self, file: RemoteFile, response: requests.Response, size: int | None) -> Any:
        self._refuse_page(b"", response, file)
        tag = response.headers.get("ETag", "")
        return RemoteFile(file.name, size, None, file.address, file.headers, tag)

    def _bring(self, file: RemoteFile, kept: _Part) -> None:
        """Ask again and again until all of ``file`` is there."""
        fruitless, farthest = 0, kept.size
        error = SourceError("broken", source=self.title, file=file.name)
        for _ in range(self._patience.most):
            if kept.is_whole():
                return
            try:
                if self._try(file, kept):
                    return
            except _Again as again:
                error, wait, slow = again.error, again.wait, again.slow
            if kept.is_whole():  # it broke off after the last byte
                return
            fruitless = 0 if kept.size > farthest and not slow else fruitless + 1
            farthest = max(farthest, kept.size)
            if fruitless >= self._patience.tries:
                break
            kept.note(f"{error.what()} Trying again from byte {kept.size}.")
            time.sleep(max(wait, self._pause(fruitless)))
        raise error

    def _pause(self, fruitless: int) -> float:
        pause = self._patience.backoff * 2.0 ** max(0, fruitless - 1)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - so that not all come back at once

    def _try(self, file: RemoteFile, kept: _Part) -> bool:
        """One request; whether the file is whole now. Raises _Again, SourceError."""
        wanted = {"Range": f"bytes={kept.size}-"} if kept.size else {}
        if kept.size and kept.tag:
            wanted["If-Range"] = kept.tag
        try:
            with self._ask("GET", file, wanted) as response:
                self._check(response, file, kept)
                if response.status_code == 416:
                    return self._is_end(response, file, kept)
                return self._receive(response, file, kept)
        except FOREIGN as error:
            known = explain(error, self.title, file.name, self._patience.read)
            if isinstance(error, ValueError) or "CERTIFICATE_VERIFY_FAILED" in known.why:
                raise known from error  # asking again would not mend it
            raise _Again(known) from error

    def _ask(
        self, method: str, file: RemoteFile, more: Mapping[str, str] | None = None
    ) -> requests.Response:
        return self._session.request(
            method,
            file.address,
            headers={"Accept-Encoding": "identity", **(more or {})},
            auth=_Own(file.headers, self._session) if file.headers else None,
            timeout=(self._patience.connect, self._patience.read),
            allow_redirects=True,
            stream=True,
        )

    def _check(self, response: requests.Response, file: RemoteFile, kept: _Part) -> None:
        status = response.status_code
        if status in (408, 429) or status >= 500:
            wait = 0.0
            with suppress(urllib3_errors.InvalidHeader):
                wait = Retry().get_retry_after(response.raw) or 0.0
            error = _of_status(status, self.title, file.name)
            raise _Again(error, min(wait, self._patience.longest))
        if status != 416 or not kept.size:
            check_status(status, self.title, file.name)

    def _is_end(self, response: requests.Response, file: RemoteFile, kept: _Part) -> bool:
        """The server has nothing from our length on: because that is all, or it is another file."""
        if _span(response)[1] != kept.size:
            self._doubt(response, file, kept)
        if file.bytes is not None:
            raise self._wrong_length(kept.size, file)
        return True

    def _receive(self, response: requests.Response, file: RemoteFile, kept: _Part) -> bool:
        begin, total = _span(response)
        tag = _strong(response.headers.get("ETag", ""))
        if response.status_code == 206 and not kept.goes_on(begin, total, tag):
            self._doubt(response, file, kept)
        pieces = self._pieces(response, file)
        if begin == 0:
            first = b""
            while len(first) < SNIFFED and (piece := next(pieces, b"")):
                first += piece
            self._judge(first, response, total, file)
            if kept.size:
                kept.note(f"{file.name}: the server begins at the first byte again.")
                kept.start_over()
            kept.write(first)
        kept.tag, kept.total = tag, total
        most = file.bytes if file.sha256 is None else max(file.bytes or 0, total or 0) or None
        for piece in pieces:
            kept.write(piece)
            if kept.size == file.bytes and kept.sha256 == file.sha256:
                return True  # more may be announced, and never come
            if most is not None and kept.size > most:
                raise self._wrong_length(kept.size, file)
        return self._is_done(total, file, kept)

    def _is_done(self, total: int | None, file: RemoteFile, kept: _Part) -> bool:
        """Whether an answer that ended in good order brought the last byte."""
        wanted = total if file.bytes is None else file.bytes
        if wanted is None or kept.size == wanted or kept.sha256 == file.sha256:
            return True
        if kept.size > wanted:
            raise self._wrong_length(kept.size, file)
        if kept.size == total:  # its whole length, it says: it may have more when asked for it
            raise _Again(self._wrong_length(kept.size, file))
        raise _Again(SourceError("broken", source=self.title, file=file.name))

    def _judge(
        self, first: bytes, response: requests.Response, total: int | None, file: RemoteFile
    ) -> None:
        """Refuse what is not the file, before any of it is kept."""
        self._refuse_page(first, response, file)
        if first.startswith(POINTER) and not 0 <= (file.bytes or -1) <= LARGEST_POINTER:
            raise SourceError("pointer", source=self.title, file=file.name)
        if not first and file.bytes != 0:
            raise SourceError("empty", source=self.title, file=file.name)
        if file.sha256 is None and None not in (total, file.bytes) and total != file.bytes:
            raise self._wrong_length(total, file)

    def _refuse_page(self, first: bytes, response: requests.Response, file: RemoteFile) -> None:
        if file.name.lower().endswith((".html", ".htm")):
            return
        kind = response.headers.get("Content-Type", "").lower()
        text = first.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
        if kind.startswith(("text/html", "application/xhtml")) or text.startswith(PAGES):
            raise SourceError("html", source=self.title, file=file.name)

    def _doubt(self, response: requests.Response, file: RemoteFile, kept: _Part) -> None:
        """An answer that does not fit what is there: start over, but not twice."""
        status = response.status_code
        error = SourceError(
            "server",
            source=self.title,
            file=file.name,
            status=status,
            why=f"asked for bytes from {kept.size}; Content-Range: "
            f"{response.headers.get('Content-Range')}",
        )
        if kept.doubted:
            raise error
        kept.doubted = True
        kept.note(f"{file.name}: the server's answer does not fit what is there; starting over.")
        kept.start_over()
        raise _Again(error)

    def _pieces(self, response: requests.Response, file: RemoteFile) -> Iterator[bytes]:
        """The body as it comes in, whatever broke off after it; a trickle is a stall."""
        since, count = time.monotonic(), 0
        while piece := response.raw.read1(BUFFER):
            yield piece
            count += len(piece)
            seconds = time.monotonic() - since
            if seconds >= self._patience.window:
                if count < self._patience.least:
                    raise _Again(_stalled(self.title, file.name, seconds), slow=True)
                since, count = time.monotonic(), 0

    def _wrong_length(self, found: int | None, file: RemoteFile) -> SourceError:
        return SourceError(
            "wrong-length", source=self.title, file=file.name, found=found, wanted=file.bytes
        )


class _Again(Exception):  # noqa: N818 - it is no failure yet
    """This try is over; ``error`` is the failure if it was the last. ``wait`` in seconds."""

    def __init__(self, error: SourceError, wait: float = 0.0, slow: bool = False) -> None:
        super().__init__(error)
        self.error, self.wait, self.slow = error, wait, slow


class _Part:
    """What has come of a file: bytes on disk and their hash, always in step."""

    def __init__(self, path: Path, file: RemoteFile, meter: Meter) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._wanted, self._meter = path, file, meter
        self._file = path.open("a+b", buffering=0)
        self._hash = hashlib.sha256()
        self.size = 0
        self.tag = _strong(file.version)
        self.total = file.bytes
        self.doubted = False
        self.note = meter.note

    def __enter__(self) -> _Part:
        self._file.seek(0)
        while piece := self._file.read(BUFFER):
            self._hash.update(piece)
            self.size += len(piece)
        self._meter.have(self.size)
        if self._wanted.bytes is not None and self.size > self._wanted.bytes:
            self.start_over()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.close()
        if kind is not None and not self.size:
            self._path.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def is_whole(self) -> bool:
        return self.size > 0 and (
            self.size == self._wanted.bytes or self.sha256 == self._wanted.sha256
        )

    def goes_on(self, begin: int | None, total: int | None, tag: str) -> bool:
        """Whether an answer is the rest of what is here."""
        known = self._wanted.bytes if self._wanted.bytes is not None else self.total
        same = not (tag and self.tag) or tag == self.tag
        return begin == self.size and (None in (total, known) or total == known) and same

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            count = self._file.write(rest)
            self._hash.update(rest[:count])
            self.size += count
            self._meter.add(count)
            rest = rest[count:]

    def start_over(self) -> None:
        self._file.truncate(0)
        self._meter.have(-self.size)
        self._hash, self.size, self.tag, self.total = hashlib.sha256(), 0, "", self._wanted.bytes


class _Own(AuthBase):
    """Headers for one host: taken off before a redirect leads to another. Overrides .netrc."""

    def __init__(self, headers: Mapping[str, str], session: requests.Session) -> None:
        self._headers, self._session = headers, session

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        request.register_hook("response", self._at_the_border)
        return request

    def _at_the_border(self, response: requests.Response, **_: object) -> None:
        target = self._session.get_redirect_target(response)
        here = response.request.url or ""
        if target and self._session.should_strip_auth(here, urljoin(here, target)):
            for name in self._headers:
                response.request.headers.pop(name, None)


def explain(error: Exception, title: str, file: str, seconds: float = 30.0) -> SourceError:
    """What requests or urllib3 raised, as an error of the source ``title``.

    ``seconds`` is the read time-out that was set. Queries, which may be signed, are left out.
    """
    response = getattr(error, "response", None)
    if isinstance(error, requests.HTTPError) and response is not None:
        return _of_status(response.status_code, title, file)
    # A header that cannot be sent may be a token: it must not be shown.
    why = "a header cannot be sent" if isinstance(error, requests.exceptions.InvalidHeader) else ""
    why = why or re.sub(r"\?[^\s'\")]*", "", str(error))
    for link in _links(error):
        for kinds, name in _NAMES:
            if isinstance(link, kinds):
                return (
                    _stalled(title, file, seconds)
                    if name == "stalled"
                    else SourceError(name, source=title, file=file, why=why)
                )
    return SourceError("broken", source=title, file=file, why=why)


_NAMES: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((requests.TooManyRedirects,), "redirects"),
    ((requests.ReadTimeout, urllib3_errors.ReadTimeoutError), "stalled"),
    ((urllib3_errors.ProtocolError, requests.exceptions.ChunkedEncodingError), "broken"),
    ((requests.ConnectTimeout, requests.exceptions.ProxyError, requests.exceptions.SSLError,
      urllib3_errors.ConnectTimeoutError, urllib3_errors.ProxyError, urllib3_errors.SSLError,
      ValueError), "unreachable"),
)  # fmt: skip
"""Foreign errors and ours. The innermost error that is here decides."""


def _links(error: BaseException) -> list[BaseException]:
    """``error`` and what it was made from, innermost first."""
    found = [error]
    for inner in (getattr(found[-1], "reason", None), *error.args):
        if isinstance(inner, FOREIGN):
            return [*_links(inner), *found]
    return found


def check_status(status: int, title: str, file: str) -> None:
    """Raise SourceError ``gated``, ``missing`` or ``server`` unless ``status`` is a success."""
    if not 200 <= status < 300:
        raise _of_status(status, title, file)


def _of_status(status: int, title: str, file: str) -> SourceError:
    if status in (401, 403, 407):
        return SourceError("gated", source=title, file=file, status=status)
    if status in (404, 410):
        return SourceError("missing", source=title, what=file, status=status)
    return SourceError("server", source=title, file=file, status=status)


def _stalled(title: str, file: str, seconds: float) -> SourceError:
    return SourceError("stalled", source=title, file=file, seconds=round(seconds))


def _strong(tag: str) -> str:
    """``tag`` if it is one that vouches for every byte, else nothing."""
    return tag if tag.startswith('"') and tag.endswith('"') else ""


def _span(response: requests.Response) -> tuple[int | None, int | None]:
    """First byte of an answer and length of the whole file; None where they are not said."""
    if response.status_code in (206, 416):
        found = re.fullmatch(
            r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", response.headers.get("Content-Range", "")
        )
        begin, total = found.groups() if found else (None, None)
        return begin and int(begin), total and int(total)
    length = response.headers.get("Content-Length", "")
    encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    return 0, int(length) if length.isascii() and length.isdigit() and not encoded else None
