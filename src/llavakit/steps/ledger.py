"""What is in an artefact's folder, where it came from, and what each file must be.

``lock.json`` stands for a folder in which everything is; until then ``.journal.json`` says what is
there already. Both are :class:`StepLock` files with the same facts.
"""

from __future__ import annotations

import shutil
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llavakit.artefact import JOURNAL, Artefact
from llavakit.errors import WorkspaceError
from llavakit.locks import LOCK, StepLock, digest
from llavakit.steps.outputs import claimed
from llavakit.steps.sources.base import Listing


@dataclass
class Ledger:
    """The books of one folder. ``step`` and ``key`` go into its lock. Safe for threads."""

    artefact: Artefact
    folder: Path
    step: str
    key: str
    done: dict[str, str] = field(default_factory=dict)
    """sha256 of the files that are there, by name."""
    locked: dict[str, str] = field(default_factory=dict)
    """sha256 of what was there when everything was."""
    stated: dict[str, str] = field(default_factory=dict)
    """sha256 as the source says them that gave what is there."""
    origin: dict[str, str] = field(default_factory=dict)
    """Which source gave which file."""
    revisions: dict[str, str] = field(default_factory=dict)
    """The commit that a source's branch stood for, by the source's title."""
    _guard: Any = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.lock, self.journal = StepLock(self.folder / LOCK), StepLock(self.folder / JOURNAL)
        if self.lock.read() is None and self.journal.read() is None:
            _adopt(self)
        self.locked = dict(self.lock.hashes())
        for books in (self.lock, self.journal):
            facts = (books.read() or {}).get("facts", {})
            for name in ("stated", "origin", "revisions"):
                getattr(self, name).update(facts.get(name, {}))
            self.done.update(books.intact())
        settled = {**self.artefact.sha256, **self.locked}
        self.done = {name: found for name, found in self.done.items()
                     if settled.get(name, found) == found}  # fmt: skip

    def expected(self, name: str) -> str:
        """The sha256 that ``name`` must have; empty when nobody knows one.

        In this order: what the recipe knows, what was locked, what the source says of itself.
        """
        for hashes in (self.artefact.sha256, self.locked, self.stated):
            if name in hashes:
                return hashes[name]
        return ""

    def is_settled(self, name: str) -> bool:
        """Whether ``name`` is the same whoever gives it."""
        return name in self.artefact.sha256 or name in self.locked

    def others(self, title: str) -> set[str]:
        """Which other sources gave files that are right only beside each other."""
        return {self.origin[name] for name in self.done
                if not self.is_settled(name) and self.origin.get(name) != title}  # fmt: skip

    def hear(self, title: str, listing: Listing) -> list[str]:
        """Take in what a source says; the names of files that it gave once and has no more.

        A branch may have moved since the last call: what does not belong to what it has now goes.
        """
        before = self.revisions.get(title, listing.revision)
        self.revisions[title] = listing.revision
        if self.others(title):
            return []
        says = {file.name: file.sha256 for file in listing.files}
        self.stated = {name: found for name, found in says.items() if found}
        mine = [name for name in self.done if not self.is_settled(name)]
        gone = [name for name in mine if name not in says
                or (says[name] or self.done[name]) != self.done[name]
                or (not says[name] and before != listing.revision)]  # fmt: skip
        for name in gone:
            self.done.pop(name)
            (self.folder / name).unlink(missing_ok=True)
        return gone

    def keep(self, name: str, part: Path, found: str, title: str) -> None:
        """Move a whole, checked file into the folder, and note it."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._guard:
            part.replace(target)
            self.done[name], self.origin[name] = found, title
            self._write(self.journal)

    def finish(self) -> list[str]:
        """Lock the folder; the names of the files that nobody knew a hash of before."""
        self._write(self.lock)
        self.journal.path.unlink(missing_ok=True)
        return sorted(name for name in self.done if not self.is_settled(name))

    def _write(self, books: StepLock) -> None:
        known = {self.folder / name: found for name, found in self.done.items()}
        books.write(
            self.step, self.key, known,
            known=known,
            first_use=sorted(set(self.done) - set(self.artefact.sha256)),
            origin=self.origin,
            revisions=self.revisions,
            stated=self.stated,
            sources=_sources(self.artefact),
        )  # fmt: skip


def _sources(artefact: Artefact) -> list[str]:
    return [digest(source.model_dump(mode="json")) for source in artefact.sources]


def _adopt(ledger: Ledger) -> None:
    """Take over what an older form of the recipe had of this artefact.

    One more mirror or one more known hash makes another folder; it must not make another 16 GB.
    Only folders of the same name that share a source are looked at. What was complete may still be
    in use, so its files are linked; what was not moves here with its parts.
    """
    artefact, folder = ledger.artefact, ledger.folder
    others = [path for path in folder.parent.glob(f"{artefact.name}-*") if path != folder]
    for name in (LOCK, JOURNAL):
        for other in sorted(others):
            facts = (StepLock(other / name).read() or {}).get("facts", {})
            if not set(facts.get("sources", ())) & set(_sources(artefact)):
                continue
            if name == LOCK:
                return _link(ledger, StepLock(other / LOCK), facts)
            with suppress(WorkspaceError), claimed(other):  # unless a job is filling it now
                return _move(other, folder)
    return None


def _move(other: Path, folder: Path) -> None:
    shutil.rmtree(folder)
    other.rename(folder)
    parts = other.with_name(f".{other.name}.parts")
    if parts.exists():
        parts.replace(folder.with_name(f".{folder.name}.parts"))


def _link(ledger: Ledger, books: StepLock, facts: dict[str, Any]) -> None:
    whole, known = books.hashes(), ledger.artefact.sha256
    taken = {name: found for name, found in books.intact().items()
             if known.get(name, found) == found}  # fmt: skip
    for name in taken:
        target = ledger.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)  # of an adoption that was cut off
        try:
            target.hardlink_to(books.path.parent / name)
        except OSError:  # a filesystem without them
            shutil.copyfile(books.path.parent / name, target)
    here = {ledger.folder / name: found for name, found in taken.items()}
    mine = ledger.lock if taken == whole else ledger.journal
    first = sorted(set(taken) - set(known))
    mine.write(ledger.step, ledger.key, here, known=here, **{**facts, "first_use": first})
