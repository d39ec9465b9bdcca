"""One answer to a request for a file, or for the rest of it, brought into the part."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import requests
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from llavakit.errors import SourceError
from llavakit.steps.sources import answers
from llavakit.steps.sources.base import Meter, RemoteFile
from llavakit.steps.sources.part import Part, strong

BUFFER = 1 << 18


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, and how often to try again. Times in seconds."""

    connect: float = 10.0
    read: float = 30.0
    window: float = 60.0
    least: int = 16 * 1024
    """Fewer bytes than this in a window are no better than none."""
    large: int = 10_000_000
    """Bytes: a file of more than this would take days at ``least``, and months if it is 16 GB."""
    least_of_large: int = 600_000
    """As ``least``, of large files: 10 kB/s."""
    tries: int = 5
    """In a row, without one byte that was not there before."""
    most: int = 200
    """In all."""
    backoff: float = 0.5
    """Before the first new try; doubles with every try that brings nothing."""
    longest: float = 30.0
    """Whatever Retry-After asks for."""


class Again(Exception):  # noqa: N818 - it is no failure yet
    """This try is over; ``error`` is the failure if it was the last. ``wait`` in seconds."""

    def __init__(self, error: SourceError, wait: float = 0.0, slow: bool = False) -> None:
        super().__init__(error)
        self.error, self.wait, self.slow = error, wait, slow


@dataclass(frozen=True)
class Transfer:
    """A file from one source on its way into a part."""

    title: str
    file: RemoteFile
    part: Part
    meter: Meter
    patience: Patience

    def take(self, response: requests.Response) -> bool:
        """Whether ``response`` brought the last byte. Raises Again, SourceError, OSError."""
        self._check(response)
        if response.status_code == 416:
            return self._is_end(response)
        return self._receive(response)

    def _check(self, response: requests.Response) -> None:
        status = response.status_code
        if status in (408, 429) or status >= 500:
            wait = 0.0
            with suppress(InvalidHeader):
                wait = Retry().get_retry_after(response.raw) or 0.0
            error = answers.of_status(status, self.title, self.file.name)
            raise Again(error, min(wait, self.patience.longest))
        if status != 416 or not self.part.size:
            answers.check_status(status, self.title, self.file.name)

    def _is_end(self, response: requests.Response) -> bool:
        """The server has nothing from our length on: because that is all, or it is another file."""
        if answers.span(response)[1] != self.part.size:
            self._doubt(response)
        if self.file.bytes is not None:
            raise answers.wrong_length(self.part.size, self.title, self.file)
        return True

    def _receive(self, response: requests.Response) -> bool:
        answers.refuse_page(response, self.title, self.file)
        begin, total = answers.span(response)
        tag = strong(response.headers.get("ETag", ""))
        if response.status_code == 206 and not self.part.goes_on(begin, total, tag):
            self._doubt(response)
        pieces = self._pieces(response)
        broke = self._begin(pieces, response, total) if begin == 0 else None
        self.part.learn(total, tag)
        if broke is not None:
            raise broke
        most = self._most(total)
        for piece in pieces:
            self.part.write(piece)
            if self.part.size == self.file.bytes and self.part.sha256 == self.file.sha256:
                return True  # more may be announced, and never come
            if most is not None and self.part.size > most:
                raise answers.wrong_length(self.part.size, self.title, self.file)
        return self._is_done(total) if self._is_framed(response, total) else self._is_same()

    def _begin(
        self, pieces: Iterator[bytes], response: requests.Response, total: int | None
    ) -> Exception | None:
        """Keep the first bytes once they look like the file; what broke off after them."""
        first, broke = b"", None
        try:
            while len(first) < answers.SNIFFED and (piece := next(pieces, b"")):
                first += piece
        except (*answers.FOREIGN, Again) as error:
            broke = error
        if broke is None or first:
            answers.judge(first, response, total, self.title, self.file)
            if self.part.size:
                self.meter.note("note.from-start", file=self.file.name)
                self.part.start_over()
            self.part.write(first)
        return broke

    def _most(self, total: int | None) -> int | None:
        """Bytes beyond which it is another file; with a hash to go by, any length may be a lie."""
        if self.file.sha256 is None:
            return self.file.bytes
        return max(self.file.bytes or 0, total or 0) or None

    def _is_done(self, total: int | None) -> bool:
        """Whether an answer that ended in good order brought the last byte."""
        wanted = total if self.file.bytes is None else self.file.bytes
        if wanted is None or self.part.size == wanted or self.part.sha256 == self.file.sha256:
            return True
        if self.part.size > wanted:
            raise answers.wrong_length(self.part.size, self.title, self.file)
        if self.part.size == total:  # that is all, it says; asked for the rest, it may have more
            raise Again(answers.wrong_length(self.part.size, self.title, self.file))
        raise Again(SourceError("broken", source=self.title, file=self.file.name))

    def _is_framed(self, response: requests.Response, total: int | None) -> bool:
        """Whether anything tells a file's end from a connection's."""
        if self.file.bytes is not None or self.file.sha256 is not None or total is not None:
            return True
        headers = response.headers
        coded = headers.get("Transfer-Encoding", "").lower() == "chunked"
        return response.status_code != 206 and (coded or "Content-Length" in headers)

    def _is_same(self) -> bool:
        """Whether a second transfer ended where the first one did, with the same bytes."""
        now, before = (self.part.size, self.part.sha256), self.part.ended
        if now == before:
            return True
        name = self.file.name
        why = f"the server does not say how long it is, and sent {now[0]} bytes"
        if before is not None:
            why = f"{why}, {before[0]} the time before: not the same"
        error = SourceError("broken", source=self.title, file=name, why=why)
        self.part.ended = now
        self.part.start_over()
        if before is not None:
            raise error
        self.meter.note("note.twice", file=name)
        raise Again(error)

    def _doubt(self, response: requests.Response) -> None:
        """An answer that does not fit what is there: start over, but not twice."""
        said = f"from byte {self.part.size}: {response.headers.get('Content-Range')}"
        status = response.status_code
        error = SourceError(
            "server", source=self.title, file=self.file.name, status=status, why=said
        )
        if self.part.doubted:
            raise error
        self.part.doubted = True
        self.meter.note("note.over", file=self.file.name)
        self.part.start_over()
        raise Again(error)

    def _pieces(self, response: requests.Response) -> Iterator[bytes]:
        """The body, as it comes in; a trickle is a stall."""
        since, count = time.monotonic(), 0
        while piece := response.raw.read1(BUFFER):
            yield piece
            count += len(piece)
            seconds = time.monotonic() - since
            if seconds >= self.patience.window:
                if count < self._least():
                    raise Again(answers.stalled(seconds, self.title, self.file.name), slow=True)
                since, count = time.monotonic(), 0

    def _least(self) -> int:
        size = max(self.file.bytes or 0, self.part.total or 0, self.part.size)
        return self.patience.least_of_large if size > self.patience.large else self.patience.least
