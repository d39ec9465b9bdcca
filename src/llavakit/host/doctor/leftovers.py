"""What earlier runs left: containers that nobody waits for, and files that were never finished.

While another command is at work in the workspace, its containers and files are its own.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from llavakit.engines import docker_facts
from llavakit.engines.docker_facts import EngineFacts, Leftover
from llavakit.engines.processes import JOBS_FOLDER, Note
from llavakit.errors import EngineError
from llavakit.host import amounts, cleaning
from llavakit.host.disk import system_error
from llavakit.host.doctor.findings import Check, Finding, Host, holder, is_held
from llavakit.host.doctor.place import PREFIX
from llavakit.host.jobs import labels as job_labels
from llavakit.workspace import Workspace

RECENT_SECONDS = 30.0
TORN = ".*.json.????????"
"""What :func:`llavakit.locks.write_atomic` calls a file until it is whole."""
TORN_IN = ("cache", "models", "models/*", "models/downloads/*", "data", "data/*",
           "data/downloads/*", "runs/*", "runs/*/*")  # fmt: skip
GONE_SECONDS = 600.0
"""A workspace that is not here may be another container's, whose client takes what it needs."""


def containers(host: Host) -> Finding:
    """Containers of this workspace, or of one that is gone, that ended or never began."""
    found = host.docker()
    if isinstance(found, EngineError):
        return host.skipped("left.no-engine")
    names = [each.name for each in abandoned(host, found)]
    if not names:
        return host.passed("left.no-containers")
    return host.lacks("warn", "left.containers", count=len(names), names=", ".join(names))


def files(host: Host) -> Finding:
    """Files and folders that a killed step or command left half-made."""
    found = half_made(host)
    if not found:
        return host.passed("left.no-files")
    names = ", ".join(str(path.relative_to(host.nearest)) for path in found)
    return host.lacks("warn", "left.files", count=len(found), names=names)


def downloads(host: Host) -> Finding:
    """Downloads that were cut off: a fetch goes on with them, so nothing is to be done."""
    parts = [file for top in (host.workspace.models, host.workspace.data)
             for folder in top.glob("downloads/.*.parts")
             for file in folder.rglob("*") if file.is_file()]  # fmt: skip
    if not parts:
        return host.passed("left.no-downloads")
    size = amounts.size(sum(file.stat().st_size for file in parts))
    return host.passed("left.downloads", count=len(parts), size=size)


def abandoned(host: Host, facts: EngineFacts) -> list[Leftover]:
    """The containers that may be removed. Raises EngineError."""
    own = job_labels(host.workspace)["workspace"]
    return [
        each
        for each in docker_facts.leftovers(facts.client)
        if (host.at_rest() and each.labels.get("workspace") == own)
        or (each.seconds > GONE_SECONDS and _is_gone(each.workspace or "/"))
    ]


def _is_gone(folder: str) -> bool:
    """Of a folder that may not be looked at nobody can tell: another user's stay."""
    try:
        Path(folder).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def half_made(host: Host) -> list[Path]:
    """The files and folders that may be removed."""
    if not host.at_rest():
        return []
    root, place = host.nearest, host.workspace
    tried = (path for path in root.glob(f"{PREFIX}*") if not is_held(path))
    ours = [*tried, *cleaning.half_made(place), *_abandoned_jobs(place)]
    for top in TORN_IN:
        ours += place.root.glob(f"{top}/{TORN}")
    return sorted(path for path in ours if _is_old(path))


def _abandoned_jobs(place: Workspace) -> list[Path]:
    """Notes and logs of local jobs that ended after whoever waited for them."""
    notes = [(path, Note.read(path)) for path in (place.root / JOBS_FOLDER).glob("*.json")]
    gone = [path for path, note in notes if note is not None and note.abandoned]
    return [file for path in gone for file in (path, path.with_suffix(".log")) if file.exists()]


def fix(host: Host) -> list[str]:
    """Remove both, naming each before; returns what was removed. No command begins meanwhile."""
    screen = host.pipeline.screen
    try:
        if owner := host.at_work():
            screen.say("fix", host.say("fix.at-work", owner=owner))
        with _alone(host) as alone:
            if alone:
                return _fix(host)
        screen.say("fix", host.say("fix.at-work", owner=holder(host.workspace) or "?"))
    except OSError as error:  # a workspace that may not be looked into: the report says more
        screen.say("fix", system_error(error, host.workspace.root).what(host.lang))
    return []


def _fix(host: Host) -> list[str]:
    done: list[str] = []
    found = host.docker()
    names = [] if isinstance(found, EngineError) else [e.name for e in abandoned(host, found)]
    for name in names:
        host.pipeline.screen.say("fix", host.say("fix.container", name=name))
    if names and isinstance(found, EngineFacts):
        docker_facts.remove(found.client, names)
        done += [f"container {name}" for name in names]
    for path in half_made(host):
        host.pipeline.screen.say("fix", host.say("fix.files", path=path))
        try:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError as error:  # the others are still to be removed
            host.pipeline.screen.say("fix", host.say("fix.refused", path=path, why=error.strerror))
        else:
            done.append(str(path))
    return done


@contextmanager
def _alone(host: Host) -> Iterator[bool]:
    """Hold the workspace's lock; False where a command began since it was looked at.

    While one is at work all the time, what is its own is left alone anyway.
    """
    path = host.workspace.root / ".lock"
    if not host.at_rest() or not path.exists():
        yield True
        return
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _is_old(path: Path) -> bool:
    """Not of a doctor that looks at this moment."""
    try:
        return time.time() - path.lstat().st_mtime > RECENT_SECONDS
    except OSError:  # gone already
        return False


CHECKS = (
    Check("leftovers.containers", containers, needed=False),
    Check("leftovers.files", files, needed=False),
    Check("leftovers.downloads", downloads, needed=False),
)
