"""What the tests of the git source share: a repository's content, and how a refusal is caught."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from llavakit.errors import SourceError
from llavakit.steps.sources.git import Git
from llavakit.steps.sources.git_place import Patience

LARGE = bytes(range(256)) * 4000
PLAIN = {
    "m/config.json": b'{"a": 1}',
    "m/tokenizer.json": b"t" * 50_000,
    "m/empty.txt": b"",
    "m/sub/vocabulary.txt": b"v",
    "README.md": b"text",
}
QUICK = Patience(answer=5, read=1, tries=2, backoff=0.01)


class Counter:
    def __init__(self) -> None:
        self.came = self.there = 0

    def add(self, count: int) -> None:
        self.came += count

    def have(self, count: int) -> None:
        self.there += count

    def note(self, name: str, /, **params: object) -> None: ...


Client = Callable[..., Git]


def refused(act: Callable[[], object]) -> SourceError:
    with pytest.raises(SourceError) as caught:
        act()
    assert caught.value.remedy()
    return caught.value


def wait_for(what: Callable[[], bool]) -> None:
    ends = time.monotonic() + 15
    while not what():
        assert time.monotonic() < ends
        time.sleep(0.05)
