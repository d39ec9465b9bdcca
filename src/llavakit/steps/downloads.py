"""Bring an artefact into its folder, from the first source that gives the right bytes.

The folder ``NAME-KEY`` holds whole, checked files only; a file on its way lies in
``.NAME-KEY.parts`` beside it, under a name that says which content it is a beginning of. When all
are there, ``lock.json`` says so. What a file must be is decided in this order: the sha256 that the
recipe knows, the one locked when the artefact was first had, what the first source that answered
says of itself.
"""

from __future__ import annotations

import contextlib
import queue
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from llavakit.artefact import Artefact, Git, Source, is_pattern
from llavakit.errors import KitError, SourceError, WorkspaceError
from llavakit.locks import StepLock, digest
from llavakit.steps import outputs
from llavakit.steps.common import Job
from llavakit.steps.meter import DownloadMeter
from llavakit.steps.sources import registry
from llavakit.steps.sources.base import Listing, Meter, Remote, RemoteFile

WORKERS = 4
"""Files at a time."""
JOURNAL = ".journal.json"
SPARE_BYTES = 64 << 20
"""Room that is left on the disk beside what is fetched."""


def bring(artefact: Artefact, folder: Path, job: Job) -> None:
    """Fill ``folder`` and lock it; what is there and right is not fetched again.

    Raises SourceError ``none-left`` with what each source said, WorkspaceError ``busy`` and
    ``too-little-disk``.
    """
    with outputs.claimed(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _Fetching(artefact, folder, job).run()


@dataclass
class _Fetching:
    artefact: Artefact
    folder: Path
    job: Job
    done: dict[str, str] = field(default_factory=dict)
    """sha256 of the files that are in the folder, by name."""
    origin: dict[str, str] = field(default_factory=dict)
    """Which source gave which file."""
    revisions: dict[str, str] = field(default_factory=dict)
    causes: list[KitError] = field(default_factory=list)
    stated: dict[str, str] = field(default_factory=dict)
    """sha256 by name, as the first source that answered says them."""
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.lock = StepLock(self.folder / outputs.LOCK)
        self.journal = StepLock(self.folder / JOURNAL)
        self.parts = self.folder.with_name(f".{self.folder.name}.parts")
        self.locked = dict(self.lock.hashes())
        facts = (self.lock.read() or self.journal.read() or {}).get("facts", {})
        self.origin.update(facts.get("origin", {}))
        self.revisions.update(facts.get("revisions", {}))

    def run(self) -> None:
        known = {**self.artefact.sha256, **self.locked}
        there = {**self.journal.intact(), **self.lock.intact()}
        self.done = {name: hash_ for name, hash_ in there.items()
                     if known.get(name, hash_) == hash_}  # fmt: skip
        if self.done:
            self.job.events.emit("note", text=f"{len(self.done)} files are here already")
        wanted = self._wanted()
        for source in self.artefact.sources:
            if wanted is not None and wanted <= set(self.done):
                break
            wanted = self._try(source, wanted)
        missing = sorted((wanted or set(self.artefact.files)) - set(self.done))
        if missing:
            raise self._failure(missing)
        self._finish()

    def _wanted(self) -> set[str] | None:
        """The names of the files; None while only a source can tell what a pattern stands for."""
        if self.locked:
            return set(self.locked)
        if any(is_pattern(name) for name in self.artefact.files):
            return None
        return set(self.artefact.files)

    def _try(self, source: Source, wanted: set[str] | None) -> set[str] | None:
        """Fetch from one source whatever is missing; the names that are wanted by now."""
        remote = registry.of(source)
        patterns = self.artefact.files if wanted is None else sorted(wanted - set(self.done))
        try:
            listing = remote.list(patterns)
        except SourceError as error:
            self._failed(error)
            return wanted
        if listing.revision:
            self.revisions[remote.title] = listing.revision
        for file in listing.files:
            if file.sha256:
                self.stated.setdefault(file.name, file.sha256)
        wanted = wanted or {file.name for file in listing.files}
        fetching = self._acceptable(remote, listing, wanted)
        if fetching:
            self._fetch_all(remote, fetching, 1 if isinstance(source, Git) else WORKERS)
        return wanted

    def _acceptable(self, remote: Remote, listing: Listing, wanted: set[str]) -> list[RemoteFile]:
        """What is still missing and may be right, the smallest first."""
        found = {file.name: file for file in listing.files}
        missing = wanted - set(self.done)
        for name in sorted(missing - set(found)):
            self._failed(SourceError("missing", source=remote.title, what=name))
        files = []
        for name in sorted(missing & set(found)):
            file = found[name]
            if file.sha256 and file.sha256 != self._expected(name):
                self._failed(self._wrong(remote, name, file.sha256))
            else:
                files.append(file)
        return sorted(files, key=lambda file: file.bytes or 0)

    def _fetch_all(self, remote: Remote, files: list[RemoteFile], workers: int) -> None:
        sizes = [file.bytes for file in files]
        total = None if None in sizes else sum(size or 0 for size in sizes)
        self.parts.mkdir(exist_ok=True)
        self._check_room(sum(size or 0 for size in sizes))
        self.job.events.emit("note", text=f"{self.artefact.name} from {remote.title}")
        meter = DownloadMeter(self.job.events, total, self.artefact.name)
        try:
            in_parallel([partial(self._fetch, remote, file, meter) for file in files], workers)
        finally:
            meter.close()

    def _fetch(self, remote: Remote, file: RemoteFile, meter: Meter) -> None:
        try:
            self._keep(remote, file, self._checked(remote, file, meter))
        except SourceError as error:
            self._failed(error)

    def _checked(self, remote: Remote, file: RemoteFile, meter: Meter) -> str:
        """Fetch into the part and compare; nothing wrong stays. Returns the sha256."""
        part, expected = self._part(remote, file), self._expected(file.name)
        resumed = part.exists() and part.stat().st_size > 0
        found = remote.fetch(file, part, meter)
        if expected in ("", found):
            return found
        size = part.stat().st_size
        part.unlink()
        if resumed:  # the beginning may have been torn when the machine went down
            meter.have(-size)
            meter.note(f"{file.name}: what was here did not fit the rest; fetching it anew")
            found = remote.fetch(file, part, meter)
            if found == expected:
                return found
            part.unlink()
        raise self._wrong(remote, file.name, found)

    def _keep(self, remote: Remote, file: RemoteFile, found: str) -> None:
        target = self.folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._guard:
            self._part(remote, file).replace(target)
            self.done[file.name] = found
            self.origin[file.name] = remote.title
            self._write(self.journal)

    def _expected(self, name: str) -> str:
        """The sha256 that ``name`` must have; empty when nobody knows one."""
        for hashes in (self.artefact.sha256, self.locked, self.stated):
            if name in hashes:
                return hashes[name]
        return ""

    def _part(self, remote: Remote, file: RemoteFile) -> Path:
        """One name for one content: beginnings of different files never mix."""
        content = self._expected(file.name) or digest([remote.title, file.version, file.bytes])
        return self.parts / f"{file.name.replace('/', '__')}.{content[:8]}"

    def _wrong(self, remote: Remote, name: str, found: str) -> SourceError:
        if name in self.locked and name not in self.artefact.sha256:
            lock = self.folder.as_posix()
            return SourceError("moved", source=remote.title, file=name, lock=lock)
        return SourceError(
            "wrong-bytes",
            source=remote.title, file=name, found=found[:12], wanted=self._expected(name)[:12],
        )  # fmt: skip

    def _failed(self, error: SourceError) -> None:
        """Remember what a source said, once a kind; the user reads it when no source is left."""
        with self._guard:
            kinds = {(known.id, known.params.get("source")) for known in self.causes}
            if (error.id, error.params.get("source")) not in kinds:
                self.causes.append(error)
                self.job.events.emit("note", text=error.what())

    def _failure(self, missing: list[str]) -> SourceError:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        return SourceError(
            "none-left",
            artefact=self.artefact.name, file=f"{missing[0]}{more}", causes=self.causes,
        )  # fmt: skip

    def _check_room(self, needed: int) -> None:
        had = sum(path.stat().st_size for path in self.parts.rglob("*") if path.is_file())
        free = shutil.disk_usage(self.folder).free
        if free < needed - had + SPARE_BYTES:
            need = f"{(needed - had + SPARE_BYTES) / 2**30:.2f}"
            raise WorkspaceError(
                "too-little-disk", folder=self.folder, need=need, free=f"{free / 2**30:.2f}"
            )

    def _write(self, lock: StepLock) -> None:
        known = {self.folder / name: hash_ for name, hash_ in self.done.items()}
        first = sorted(set(self.done) - set(self.artefact.sha256))
        lock.write(
            self.job.step, self.job.key, known,
            known=known, first_use=first, origin=self.origin, revisions=self.revisions,
        )  # fmt: skip

    def _finish(self) -> None:
        self._write(self.lock)
        self.journal.path.unlink(missing_ok=True)
        if self.parts.exists():
            outputs.remove(self.parts)
        first = [name for name in self.done if name not in {**self.artefact.sha256, **self.locked}]
        for name in sorted(first):
            text = f"locked at first use: {name} sha256 {self.done[name]}"
            self.job.events.emit("note", text=text)


def in_parallel(tasks: Iterable[Callable[[], None]], workers: int) -> None:
    """Run ``tasks`` in threads; the first exception of any is raised once all have stopped.

    The threads are daemons: a job that is told to stop must not wait for a silent server.
    """
    waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    errors: list[BaseException] = []
    for task in tasks:
        waiting.put(task)

    def work() -> None:
        with contextlib.suppress(queue.Empty):
            while not errors:
                task = waiting.get_nowait()
                try:
                    task()
                except BaseException as error:  # handed to the caller below
                    errors.append(error)

    count = max(1, min(workers, waiting.qsize()))
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)
    if errors:
        raise errors[0]


def hashes(folder: Path) -> Mapping[str, str]:
    """sha256 by name of what was downloaded to ``folder``."""
    return StepLock(folder / outputs.LOCK).hashes()
