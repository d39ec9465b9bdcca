"""The workspace's folder: writable, on a file system that can rename and lock; and the clock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from llavakit.host.doctor.findings import Check, Finding, Host, is_there
from llavakit.host.settings import KIT
from llavakit.locks import write_atomic

PREFIX = ".llavakit-doctor-"
"""Of the folder that a check makes for a moment."""
SLOW = {"9p": "WSL", "drvfs": "WSL", "nfs": "NFS", "nfs4": "NFS", "cifs": "SMB", "smb3": "SMB",
        "fuse.sshfs": "sshfs", "vboxsf": "VirtualBox"}  # fmt: skip
"""File systems of other machines: locks, times and renames of many of them cannot be relied on."""
DRIFT_SECONDS = 5.0
LOCK_DATE = 1714521600
"""2024-05-01, which the pins were resolved for: no clock of a host that has them is before it."""


def writable(host: Host) -> Finding:
    """Whether this user may write where the workspace is, or will be."""
    try:
        with scratch(host.nearest):
            return host.passed("workspace.writable", folder=host.workspace.root)
    except OSError as error:
        folder = host.workspace.root
        return host.lacks("fail", "workspace.read-only", folder=folder, why=error.strerror)


def owned(host: Host) -> Finding:
    """Whether what is in it may be written too: an earlier run may have been another user's."""
    root = host.workspace.root
    tops = [root / name for name in ("models", "data", "runs", "cache")]
    folders = [root, *tops, *host.workspace.runs.glob("*"), host.workspace.root / ".lock"]
    foreign = [path for path in folders if is_there(path) and not os.access(path, os.W_OK)]
    if foreign:
        first = foreign[0]
        return host.lacks("fail", "workspace.foreign", path=first, count=len(foreign), folder=root)
    return host.passed("workspace.owned")


def filesystem(host: Host) -> Finding:
    """Whether files can be renamed over others, locked, and linked there."""
    kind = file_system(host.nearest)
    try:
        with scratch(host.nearest) as folder:
            problem = _trouble(folder)
    except OSError:
        return host.skipped("workspace.not-tried")
    if problem:
        params = {"what": problem, "kind": kind, "folder": host.workspace.root}
        return host.lacks("fail", "workspace.cannot", **params)
    if kind in SLOW:
        return host.lacks("warn", "workspace.remote", kind=kind, name=SLOW[kind])
    return host.passed("workspace.filesystem", kind=kind)


def free(host: Host) -> Finding:
    """Whether another command is at work in it: a second one waits in line."""
    owner = host.holder()
    if owner is None:
        return host.passed("workspace.free")
    return host.lacks("warn", "workspace.in-use", owner=owner)


def clock(host: Host) -> Finding:
    """Whether the time can be right: certificates, records and locks need it."""
    now, kit = time.time(), newest_commit()
    if now < max(LOCK_DATE, kit):
        return host.lacks("fail", "clock.behind", now=_date(now), kit=_date(max(LOCK_DATE, kit)))
    try:
        with scratch(host.nearest) as folder:
            (folder / "now").touch()
            ahead = (folder / "now").stat().st_mtime - time.time()
    except OSError:
        return host.passed("clock.sane", now=_date(now))
    if abs(ahead) > DRIFT_SECONDS:
        return host.lacks("warn", "clock.drift", seconds=f"{ahead:+.0f}")
    late = max((path.stat().st_mtime for path in _written(host)), default=0.0) - now
    if late > DRIFT_SECONDS:
        return host.lacks("warn", "clock.jumped", seconds=f"{late:.0f}")
    return host.passed("clock.sane", now=_date(now))


def newest_commit() -> float:
    """When the clone's commit was made, in seconds since 1970; 0 without git."""
    try:
        done = subprocess.run(
            ["git", "log", "-1", "--format=%ct"],
            cwd=KIT, capture_output=True, text=True, timeout=2, check=True,
        )  # fmt: skip
        return float(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0.0


def file_system(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The type of the file system of ``folder``; ``?`` where nobody can tell."""
    real, best, kind = folder.resolve(), -1, "?"
    try:
        lines = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return kind
    for line in lines:
        _, point, found, *_ = line.split(" ")
        place = Path(point.replace(r"\040", " "))
        if real.is_relative_to(place) and len(place.parts) >= best:
            best, kind = len(place.parts), found
    return kind


def _trouble(folder: Path) -> str:
    """What the file system cannot do; empty when it can."""
    try:
        write_atomic(folder / "file", "1")
        write_atomic(folder / "file", "2")
        if (folder / "file").read_text("utf-8") != "2":
            return "rename"
    except OSError:
        return "rename"
    try:
        with FileLock(folder / "lock", timeout=0):
            try:
                with FileLock(folder / "lock", timeout=0, is_singleton=False):
                    return "lock"
            except Timeout:
                pass
    except (OSError, NotImplementedError):
        return "lock"
    try:
        (folder / "link").symlink_to("file")
    except OSError:
        return "symlink"
    return ""


@contextmanager
def scratch(parent: Path | None) -> Iterator[Path]:
    """A folder for a moment; it is held as long, so that another doctor's --fix leaves it.

    Raises OSError where none can be made.
    """
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent) as folder:
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(OSError):  # not on every file system: another check says so
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield Path(folder)
        finally:
            os.close(handle)


def _written(host: Host) -> list[Path]:
    """What was written last in each run."""
    runs = host.workspace.runs.glob("*")
    return [path for run in runs for name in ("events.jsonl", "run.json")
            if (path := run / name).exists()]  # fmt: skip


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


CHECKS = (
    Check("workspace.writable", writable),
    Check("workspace.owner", owned),
    Check("workspace.filesystem", filesystem),
    Check("workspace.lock", free),
    Check("clock", clock, needed=False),
)
