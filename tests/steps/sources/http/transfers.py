"""One file on a server that misbehaves, over real sockets, and what became of it."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from servers.faulty import Fault, FaultyServer

from llavakit.errors import SourceError
from llavakit.phrases import phrase
from llavakit.steps.sources import http
from llavakit.steps.sources.base import RemoteFile


def chance(seed: object) -> random.Random:
    return random.Random(str(seed))  # noqa: S311 - the same in every run


CONTENT = chance(1).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%b\nsize 9\n" % (b"0" * 64)
PAGE = b"<!DOCTYPE html>\n<title>Log in</title>"
QUICK = http.Patience(
    connect=5, read=0.5, window=0.4, least=500, tries=3, most=40, backoff=0.002, longest=0.2
)


@dataclass
class Count:
    """A meter that remembers."""

    fetched: int = 0
    had: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, count: int) -> None:
        self.fetched += count

    def have(self, count: int) -> None:
        self.had.append(count)

    def note(self, name: str, /, **params: object) -> None:
        self.notes.append(str(phrase(name, **params)))

    @property
    def done(self) -> int:
        return self.fetched + sum(self.had)


@dataclass
class Bench:
    """One file on a server, and the part it is brought into."""

    server: FaultyServer
    part: Path
    meter: Count = field(default_factory=Count)
    patience: http.Patience = QUICK
    file: RemoteFile = field(default_factory=lambda: RemoteFile("w.bin", len(CONTENT)))

    def __post_init__(self) -> None:
        self.server.files["/w.bin"] = CONTENT
        self.file = replace(self.file, address=f"{self.server.url}/w.bin")

    def of(self, **known: Any) -> Bench:
        """The file as another source would describe it."""
        self.file = replace(self.file, **known)
        return self

    def serve(self, content: bytes) -> Bench:
        self.server.files["/w.bin"] = content
        return self

    def fault(self, *faults: Fault, times: int = 1) -> Bench:
        self.server.fault("/w.bin", *faults, times=times)
        return self

    def had(self, content: bytes) -> Bench:
        self.part.write_bytes(content)
        return self

    def fetch(self) -> str:
        return http.Http("Hub", patience=self.patience).fetch(self.file, self.part, self.meter)

    def right(self, content: bytes = CONTENT) -> None:
        """All of the file comes, and the meter counted it."""
        assert self.fetch() == hashlib.sha256(content).hexdigest()
        assert self.part.read_bytes() == content
        assert self.meter.done == len(content)

    def fails(self, name: str, kept: bytes | None) -> SourceError:
        """It fails like this, and leaves this."""
        with pytest.raises(SourceError) as caught:
            self.fetch()
        error = caught.value
        assert error.name == name, error.why
        assert error.remedy()
        assert (self.part.read_bytes() if self.part.exists() else None) == kept
        assert self.meter.done == len(kept or b"")
        return error

    @property
    def asked(self) -> list[str | None]:
        """The ranges that were asked for."""
        return [seen.headers.get("Range") for seen in self.server.requests("/w.bin")]

    @property
    def sent(self) -> int:
        return sum(seen.sent for seen in self.server.requests("/w.bin"))
