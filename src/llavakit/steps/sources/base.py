"""What a source is: it lists its files, and brings one of them.

A source never decides what is right: hashes, locks and the order of the sources are for
:mod:`llavakit.steps.downloads`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class RemoteFile:
    """One file as its source describes it; None where the source does not say."""

    name: str
    """Relative to the artefact, with ``/``."""
    bytes: int | None = None
    sha256: str | None = None
    address: str = ""
    """Where an HTTP source has it."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """For that address only: never sent on to another host."""
    version: str = ""
    """What tells this content from another under the same address (an ETag, a commit)."""


@dataclass(frozen=True)
class Listing:
    """What a source has of an artefact."""

    files: tuple[RemoteFile, ...]
    revision: str = ""
    """The commit that a branch's name stood for; empty where there is none."""


class Meter(Protocol):
    """Told of every byte; safe for threads."""

    def add(self, count: int) -> None:
        """``count`` bytes came over the network."""
        ...

    def have(self, count: int) -> None:
        """``count`` bytes are there already; negative when they had to be thrown away."""
        ...

    def note(self, name: str, /, **params: object) -> None:
        """The phrase ``name``: something the user should read (a retry, a restart)."""
        ...


class Remote(Protocol):
    """A source, ready to be asked."""

    @property
    def title(self) -> str:
        """What messages call it."""
        ...

    def list(self, patterns: Sequence[str]) -> Listing:
        """The files that match, with what is known of them; metadata only, answers in seconds.

        Raises SourceError: ``unreachable``, ``gated``, ``missing``, ``no-files``, ``server``,
        ``html``, ``redirects``, ``no-tool``.
        """
        ...

    def fetch(self, file: RemoteFile, part: Path, meter: Meter) -> str:
        """Bring ``file`` into ``part`` and return its sha256.

        What is in ``part`` already is from an earlier try at the same content and is gone on from.
        Whatever goes wrong, ``part`` holds nothing but a beginning of the file, or is not there.
        Raises SourceError: those of :meth:`list`, and ``broken``, ``stalled``, ``empty``,
        ``pointer``, ``wrong-length``; ``wrong-bytes`` where the client compares by itself, as
        git-lfs does.
        """
        ...


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether an artefact that asks for ``patterns`` wants the file ``name``.

    A ``*`` stays in its folder: ``*.json`` does not mean ``original/params.json``.
    """
    depth = name.count("/")
    return any(depth == pattern.count("/") and fnmatchcase(name, pattern) for pattern in patterns)
