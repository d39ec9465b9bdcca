"""Outputs that are there or not, never half: folders by rename, files by rename, a lock each."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from llavakit import locks
from llavakit.errors import WorkspaceError
from llavakit.locks import StepLock, write_json
from llavakit.steps.common import Job

LOCK = locks.LOCK


@contextlib.contextmanager
def folder(
    final: Path, job: Job, *, known: Mapping[Path, str] = MappingProxyType({}), **facts: Any
) -> Iterator[Path]:
    """A new folder to fill; at the end it is locked and takes the place of ``final``.

    ``known`` (see :meth:`StepLock.write`) and ``facts`` are read at the end: the body may still
    fill them.

    An older ``final`` is there, whole, until the new one is complete. When the body fails,
    nothing of the new one stays. Raises WorkspaceError ``busy`` while another process makes
    ``final``.
    """
    with claimed(final), _filled(final, job, known, facts) as partial:
        yield partial


@contextlib.contextmanager
def _filled(
    final: Path, job: Job, known: Mapping[Path, str], facts: dict[str, Any]
) -> Iterator[Path]:
    partial = final.with_name(f".{final.name}.partial")
    older = final.with_name(f".{final.name}.old")
    _restore(final, older)
    remove(partial)
    partial.mkdir()
    try:
        yield partial
        files = [path for path in partial.rglob("*") if path.is_file()]
        StepLock(partial / LOCK).write(job.step, job.key, files, known=known, **facts)
    except BaseException:
        remove(partial)
        raise
    if final.exists():
        final.rename(older)
    partial.rename(final)
    remove(older)


def file(final: Path, value: object, job: Job, **facts: Any) -> None:
    """Write ``value`` as JSON to ``final`` and lock it in ``final`` with the suffix .lock.json.

    Raises WorkspaceError ``busy`` while another process makes ``final``.
    """
    with claimed(final):
        lock = StepLock(final.with_suffix(".lock.json"))
        lock.path.unlink(missing_ok=True)
        write_json(final, value)
        lock.write(job.step, job.key, [final], **facts)


def remove(path: Path) -> None:
    """Remove a file or a folder; fine when there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def claimed(final: Path) -> Iterator[None]:
    """Be the only process that makes ``final``, whatever run it works for.

    The mark is a lock of the kernel's on ``.NAME.busy`` beside it, and goes with the process. The
    file is removed by its holder; one that was removed between opening and locking is tried again.
    """
    path = final.with_name(f".{final.name}.busy")
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        while True:
            file = stack.enter_context(path.open("a"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WorkspaceError("busy", folder=final) from None
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        stack.callback(path.unlink, missing_ok=True)
        yield


def _restore(final: Path, older: Path) -> None:
    """Undo a replacement that was killed between its two renames."""
    if older.exists() and not final.exists():
        older.rename(final)
    remove(older)
