"""The workspace: the folder on the host with models/, data/, runs/ and cache/.

A job has it as its working directory, so every path that a step sees is relative to it. This
module is the one place that knows where things lie inside.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from llavakit.errors import WorkspaceError

INPUTS = "inputs"
"""Folders that are kept elsewhere appear here (mounts or links)."""
BUSY_FILE = ".busy"
LOCK_FILE = ".lock"


@dataclass(frozen=True)
class Workspace:
    """``root`` is absolute on the host and ``Path('.')`` inside a job."""

    root: Path

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def create(self) -> None:
        """Make the folders that are missing. Raises WorkspaceError ``not-writable``."""
        try:
            for folder in (self.models, self.data, self.runs, self.cache):
                folder.mkdir(parents=True, exist_ok=True)
            (self.cache / ".writable").touch()
        except OSError as error:
            raise WorkspaceError("not-writable", folder=self.root, why=str(error)) from None

    @contextlib.contextmanager
    def lock(
        self, owner: str, on_wait: Callable[[str], None], name: str = LOCK_FILE
    ) -> Iterator[None]:
        """Hold the workspace for one command at a time, or what ``name`` stands for of it.

        ``owner`` is what another process is told it waits for; ``on_wait`` is called once with the
        present owner before this one waits.
        """
        self.create()
        lock = FileLock(self.root / name)
        note = self.root / f"{name}-owner"
        try:
            lock.acquire(timeout=0)
        except Timeout:
            on_wait(_read(note) or "another process")
            lock.acquire()
        except OSError as error:
            raise WorkspaceError("not-writable", folder=self.root, why=str(error)) from None
        try:
            with contextlib.suppress(OSError):  # a full disk is told by whoever needs the room
                note.write_text(f"{owner} (process {os.getpid()})", encoding="utf-8")
            yield
        finally:
            with contextlib.suppress(OSError):
                note.unlink(missing_ok=True)
            lock.release()


@contextlib.contextmanager
def busy(folder: Path) -> Iterator[None]:
    """Mark ``folder`` as being written by this process, for as long as it lives.

    The mark is a lock of the kernel's: it goes with the process, however that ends, and holds
    across containers of one host. Raises WorkspaceError ``busy`` when another process has it.
    """
    lock = FileLock(folder / BUSY_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise WorkspaceError("busy", folder=folder) from None
    try:
        yield
    finally:
        lock.release()


def is_busy(folder: Path) -> bool:
    """Whether a living process holds ``folder`` (see :func:`busy`)."""
    if not (folder / BUSY_FILE).exists():
        return False
    try:
        with busy(folder):
            return False
    except WorkspaceError:
        return True


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
