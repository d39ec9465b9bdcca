"""Bring an artefact into its folder, from the first source that gives the right bytes.

The folder ``NAME-KEY`` holds whole, checked files only; a file on its way lies in
``.NAME-KEY.parts`` beside it, under a name that says which content it is a beginning of. When all
are there, ``lock.json`` says so.
"""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from llavakit.artefact import Artefact, Git, Source, is_pattern, may_be_fetched
from llavakit.errors import KitError, SourceError, WorkspaceError
from llavakit.locks import digest
from llavakit.phrases import Phrase, phrase
from llavakit.steps import outputs, parallel
from llavakit.steps.common import Job
from llavakit.steps.ledger import Ledger
from llavakit.steps.meter import DownloadMeter
from llavakit.steps.sources import registry
from llavakit.steps.sources.base import Listing, Meter, Remote, RemoteFile, matches

WORKERS = 4
"""Files at a time."""
SPARE_BYTES = 64 << 20
"""Room that is left on the disk beside what is fetched."""


def bring(artefact: Artefact, folder: Path, job: Job) -> None:
    """Fill ``folder`` and lock it; what is there and right is not fetched again.

    Raises SourceError ``none-left`` with what each source said, WorkspaceError ``busy`` and
    ``too-little-disk``.
    """
    with outputs.claimed(folder):
        folder.mkdir(parents=True, exist_ok=True)
        ledger = Ledger(artefact, folder, job.step, job.key)
        _Fetching(artefact, folder, job, ledger).run()


@dataclass
class _Fetching:
    artefact: Artefact
    folder: Path
    job: Job
    ledger: Ledger
    causes: list[KitError] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.parts = self.folder.with_name(f".{self.folder.name}.parts")

    def run(self) -> None:
        if self.ledger.done:
            self._note("note.here", count=len(self.ledger.done))
        wanted = self._wanted()
        for source in self.artefact.sources:
            if wanted is not None and wanted <= set(self.ledger.done):
                break
            wanted = self._try(source, wanted)
        missing = sorted((wanted or set(self.artefact.files)) - set(self.ledger.done))
        if missing:
            raise self._failure(missing)
        for name in self.ledger.finish():
            self._note("note.locked", file=name, sha256=self.ledger.done[name])
        if self.parts.exists():
            outputs.remove(self.parts)

    def _wanted(self) -> set[str] | None:
        """The names of the files; None while only a source can tell what a pattern stands for."""
        if self.ledger.locked:
            return set(self.ledger.locked)
        if any(is_pattern(name) for name in self.artefact.files):
            return None
        return set(self.artefact.files)

    def _try(self, source: Source, wanted: set[str] | None) -> set[str] | None:
        """Fetch from one source whatever is missing; the names that are wanted by now."""
        remote = registry.of(source)
        patterns = self.artefact.files if wanted is None else sorted(wanted)
        try:
            listing = _plain(remote.list(patterns))
            if wanted is None:
                _check_complete(remote, listing, patterns)
        except SourceError as error:
            self._failed(error)
            return wanted
        for name in self.ledger.hear(remote.title, listing):
            self._note("note.other-now", file=name, source=remote.title)
        wanted = wanted or {file.name for file in listing.files}
        fetching = self._acceptable(remote, listing, wanted)
        if fetching:
            self._fetch_all(remote, fetching, 1 if isinstance(source, Git) else WORKERS)
        return wanted

    def _acceptable(self, remote: Remote, listing: Listing, wanted: set[str]) -> list[RemoteFile]:
        """What is still missing and may be right, the smallest first."""
        found = {file.name: file for file in listing.files}
        missing = wanted - set(self.ledger.done)
        for name in sorted(missing - set(found)):
            self._failed(SourceError("missing", source=remote.title, what=name))
        others = sorted(self.ledger.others(remote.title))
        files = []
        for name in sorted(missing & set(found)):
            file, expected = found[name], self.ledger.expected(name)
            if file.sha256 and expected and file.sha256 != expected:
                self._failed(self._wrong(remote, name, file.sha256))
            elif others and not expected:
                self._failed(
                    SourceError(
                        "mixed", source=remote.title, file=name, others=", ".join(others),
                        folder=self.folder.as_posix(),
                    )
                )  # fmt: skip
            else:
                files.append(file)
        return sorted(files, key=lambda file: file.bytes or 0)

    def _fetch_all(self, remote: Remote, files: list[RemoteFile], workers: int) -> None:
        sizes = [file.bytes for file in files]
        total = None if None in sizes else sum(size or 0 for size in sizes)
        self.parts.mkdir(exist_ok=True)
        self._check_room(remote, files)
        self._note("note.from", artefact=self.artefact.name, source=remote.title)
        meter = DownloadMeter(self.job.events, total, self.artefact.name)
        try:
            parallel.run([partial(self._fetch, remote, file, meter) for file in files], workers)
        finally:
            meter.close()

    def _fetch(self, remote: Remote, file: RemoteFile, meter: Meter) -> None:
        part = self._part(remote, file)
        try:
            found = self._checked(remote, file, part, meter)
            self.ledger.keep(file.name, part, found, remote.title)
        except SourceError as error:
            self._failed(error)

    def _checked(self, remote: Remote, file: RemoteFile, part: Path, meter: Meter) -> str:
        """Fetch into the part and compare; nothing wrong stays. Returns the sha256."""
        expected = self.ledger.expected(file.name)
        resumed = part.exists() and part.stat().st_size > 0
        found = remote.fetch(file, part, meter)
        if expected in ("", found):
            return found
        size = part.stat().st_size
        part.unlink()
        if resumed:  # the beginning may have been torn when the machine went down
            meter.have(-size)
            meter.note("note.torn", file=file.name)
            found = remote.fetch(file, part, meter)
            if found == expected:
                return found
            part.unlink()
        raise self._wrong(remote, file.name, found)

    def _part(self, remote: Remote, file: RemoteFile) -> Path:
        """One name for one content: beginnings of different files never mix."""
        unknown = [remote.title, file.version, file.bytes]
        content = self.ledger.expected(file.name) or digest(unknown)
        return self.parts / f"{file.name.replace('/', '__')}.{content[:8]}"

    def _wrong(self, remote: Remote, name: str, found: str) -> SourceError:
        if name in self.ledger.locked and name not in self.artefact.sha256:
            lock = self.folder.as_posix()
            return SourceError("moved", source=remote.title, file=name, lock=lock)
        wanted = self.ledger.expected(name)[:12]
        return SourceError(
            "wrong-bytes", source=remote.title, file=name, found=found[:12], wanted=wanted
        )

    def _failed(self, error: SourceError) -> None:
        """Remember what a source said, once a kind; the user reads it when no source is left."""
        with self._guard:
            kinds = {(known.id, known.params.get("source")) for known in self.causes}
            if (error.id, error.params.get("source")) not in kinds:
                self.causes.append(error)
                self.job.events.say(error.as_phrase())

    def _failure(self, missing: list[str]) -> SourceError:
        file: str | Phrase = missing[0]
        if len(missing) > 1:
            file = phrase("and-more", file=missing[0], count=len(missing) - 1)
        return SourceError(
            "none-left",
            artefact=self.artefact.name, file=file, causes=self.causes,
        )  # fmt: skip

    def _check_room(self, remote: Remote, files: list[RemoteFile]) -> None:
        parts = [self._part(remote, file) for file in files]
        had = sum(part.stat().st_size for part in parts if part.is_file())
        needed = sum(file.bytes or 0 for file in files) - had + SPARE_BYTES
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise WorkspaceError(
                "too-little-disk",
                folder=self.folder, need=f"{needed / 2**30:.2f}", free=f"{free / 2**30:.2f}",
            )  # fmt: skip

    def _note(self, name: str, **params: object) -> None:
        self.job.events.note(name, **params)


def _plain(listing: Listing) -> Listing:
    """Without what no artefact may hold, whatever its source lists."""
    files = tuple(file for file in listing.files if may_be_fetched(file.name))
    return Listing(files, listing.revision)


def _check_complete(
    remote: Remote, listing: Listing, patterns: tuple[str, ...] | list[str]
) -> None:
    """Every pattern must stand for something: a repository may be half uploaded.

    Raises SourceError ``no-files``.
    """
    for pattern in patterns:
        if not any(matches(file.name, [pattern]) for file in listing.files):
            raise SourceError("no-files", source=remote.title, wanted=pattern)
