"""Take turns on a GPU: two runs on one host wait in line instead of dying of memory.

One file a GPU, in one folder for all users of the host; who has the kernel's lock on it has the
turn. The lock goes with its process, but a job outlives a killed one: the file also says which job
was started last, and whoever comes next waits for that one's end. What this cannot see: programs
other than the kit, hosts whose users have a folder each (containers), a job of another user's that
the engine does not show. There the look at the free memory remains (:mod:`preflight`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from llavakit import record
from llavakit.errors import WorkspaceError
from llavakit.host import driver

POLL_SECONDS = 0.5
MOST_BYTES = 1 << 16


@dataclass(frozen=True)
class Holder:
    """The job that had the turn last, and whose it is."""

    what: str
    engine: str
    workspace: str
    labels: Mapping[str, str]
    user: str = field(default_factory=driver.user)
    pid: int = field(default_factory=os.getpid)
    since: str = field(default_factory=record.now)

    def words(self) -> str:
        """One line."""
        return f"{self.what} (pid {self.pid}, {self.user}), {self.workspace}, {self.since}"


GoesOn = Callable[[Holder], bool]
"""Whether the holder's job still runs, its process gone or not."""


@contextlib.contextmanager
def turn(
    folder: Path,
    name: str,
    holder: Holder,
    goes_on: GoesOn,
    on_wait: Callable[[Holder | None], None],
) -> Iterator[bool]:
    """Have the turn on GPU ``name`` (its UUID), after waiting for it; yields whether it waited.

    ``on_wait`` is called once, with whom is waited for. Raises WorkspaceError ``refused`` where
    the folder cannot be used.
    """
    path, waited = _file(folder, name), False
    handle = _open(path)
    try:
        while not (_try(handle) and _is_still(handle, path)):
            if not waited:
                on_wait(_read(handle))
            waited = True
            time.sleep(POLL_SECONDS)
            if not _is_still(handle, path):  # somebody tidied the folder up
                os.close(handle)
                handle = _open(path)
        while (before := _read(handle)) is not None and goes_on(before):
            if not waited:
                on_wait(before)
            waited = True
            time.sleep(POLL_SECONDS)
        _write(handle, holder)
        yield waited
    finally:
        os.close(handle)


def taken_by(folder: Path, name: str, goes_on: GoesOn) -> Holder | None:
    """Who has the turn on GPU ``name`` now; None when nobody has."""
    try:
        handle = os.open(_file(folder, name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        before = _read(handle)
        return before if before and (not _try(handle, fcntl.LOCK_SH) or goes_on(before)) else None
    finally:
        os.close(handle)


def _file(folder: Path, name: str) -> Path:
    return folder / f"{re.sub(r'[^A-Za-z0-9-]', '-', name)}.lock"


def _open(path: Path) -> int:
    try:
        return _opened(path)
    except OSError as error:
        raise WorkspaceError("refused", path=path, why=str(error)) from None


def _opened(path: Path) -> int:
    """Open or make the file so that other users can lock it and write in it too.

    Never with O_CREAT where it is there: in a folder that all may write the kernel refuses that
    for a file of another user's.
    """
    if not path.parent.exists():
        with contextlib.suppress(FileExistsError):
            path.parent.mkdir()
            path.parent.chmod(0o1777)
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    with contextlib.suppress(FileExistsError):
        handle = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
        os.fchmod(handle, 0o666)
        return handle
    handle = os.open(path, flags)
    seen = os.fstat(handle)
    if not stat.S_ISREG(seen.st_mode) or seen.st_nlink > 1:
        os.close(handle)
        raise PermissionError(f"{path} is no plain file")
    return handle


def _is_still(handle: int, path: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(handle), path.lstat())
    return False


def _try(handle: int, how: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(handle: int) -> Holder | None:
    try:
        body = json.loads(os.pread(handle, MOST_BYTES, 0))
        labels = {str(key): str(value) for key, value in body.pop("labels").items()}
        words = {key: str(body[key]) for key in ("what", "engine", "workspace", "user", "since")}
        return Holder(labels=labels, pid=int(body["pid"]), **words)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _write(handle: int, holder: Holder) -> None:
    with contextlib.suppress(OSError):  # a full disk: the lock itself needs no room
        data = json.dumps({**asdict(holder), "labels": dict(holder.labels)}).encode("utf-8")
        os.ftruncate(handle, 0)
        os.pwrite(handle, data, 0)
