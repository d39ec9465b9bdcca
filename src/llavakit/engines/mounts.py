"""Where mounts appear inside the workspace, and whose files those of the workspace are.

A job's mount appears at ``workspace/target``: as a folder or an empty file that Docker mounts over,
or as a link for the local engine. A run may begin in one engine and go on in the other, so each
replaces what the other left.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath

from llavakit.engines.base import Job, Mount
from llavakit.errors import EngineError
from llavakit.phrases import phrase

User = tuple[int, int]
"""uid and gid."""
SHARED_FOLDERS = ("models", "data", "runs", "cache")
"""What jobs of both engines write to."""
KEPT_FOLDER = Path("cache/environments")
"""Never handed to another user: virtual environments, whose files may be linked elsewhere too."""


def mountpoint(job: Job, mount: Mount) -> Path:
    """The place of ``mount`` in the job's workspace, on the host.

    Raises EngineError ``mount-missing`` when its source is not there, ``mount-blocked`` when the
    place lies outside the workspace or behind a link (a job may have put one there).
    """
    if not mount.source.exists():
        raise EngineError("mount-missing", path=mount.source)
    target = PurePosixPath(mount.target)
    place = job.workspace / target
    inside = target.parts and not target.is_absolute() and ".." not in target.parts
    above = [job.workspace / parent for parent in target.parents if parent.parts]
    if not inside or any(folder.is_symlink() for folder in above):
        raise EngineError("mount-blocked", path=place)
    return place


def linked(workspace: Path) -> list[str]:
    """The shared folders that are links: their user keeps them on another disk."""
    return [name for name in SHARED_FOLDERS if (workspace / name).is_symlink()]


def check_links(workspace: Path) -> None:
    """Refuse links of shared folders that a container cannot be given the target of.

    Raises EngineError ``mount-missing`` when there is no folder at its end, ``mount-blocked`` when
    that folder has the workspace itself in it.
    """
    for place in (workspace / name for name in linked(workspace)):
        if not place.is_dir():
            raise EngineError("mount-missing", path=place)
        if workspace.resolve().is_relative_to(place.resolve()):
            raise EngineError("mount-blocked", path=place)


def _is_source(place: Path, mount: Mount) -> bool:
    """Whether the mount protects a place of the workspace: its source is its own mountpoint."""
    source = mount.source
    return source.parent.resolve() / source.name == place.parent.resolve() / place.name


def make_place(job: Job, mount: Mount, user: User | None) -> None:
    """Make the mountpoint a folder, or an empty file for a file, and the folders that are missing
    above it; they are ``user``'s.

    A link that is the mount's own source stays: it is the user's, and Docker mounts at its end.
    Raises what :func:`mountpoint` raises, and EngineError ``mount-blocked`` where a file with
    something in it is in the way of a folder, or the other way round.
    """
    place = mountpoint(job, mount)
    if _is_source(place, mount):
        return
    is_folder = mount.source.is_dir()
    if place.is_symlink() or (place.exists() and place.is_dir() != is_folder):
        _clear(place)
    missing = [path for path in (place, *place.parents) if not path.exists()]
    if is_folder:
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    if user is not None:
        for path in missing:
            os.chown(path, *user)


def make_link(job: Job, mount: Mount) -> None:
    """Make the mountpoint a link to the mount's source.

    Raises what :func:`mountpoint` raises, and EngineError ``mount-blocked`` when a folder or a file
    with something in it is in the way.
    """
    place = mountpoint(job, mount)
    source = mount.source.resolve()
    if place.resolve() == source:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    _clear(place)
    place.symlink_to(source, target_is_directory=source.is_dir())


def _clear(place: Path) -> None:
    """Remove a mountpoint that an engine left: a link, an empty folder, an empty file.

    Raises EngineError ``mount-blocked`` when it is more than that.
    """
    try:
        if place.is_symlink():
            place.unlink()
        elif place.is_dir():
            place.rmdir()
        elif place.exists():
            if place.stat().st_size:
                raise EngineError("mount-blocked", path=place, why=phrase("why.in-the-way"))
            place.unlink()
    except OSError as error:
        raise EngineError("mount-blocked", path=place, why=str(error)) from None


def job_user(workspace: Path, caller: User | None = None) -> User:
    """Who a container's job runs as: the caller; for root the workspace's owner, else 10001."""
    uid, gid = caller or (os.getuid(), os.getgid())
    if uid != 0:
        return uid, gid
    with contextlib.suppress(OSError):
        owner = workspace.stat()
        if owner.st_uid != 0:
            return owner.st_uid, owner.st_gid
    return 10001, 10001


def give(workspace: Path, user: User) -> None:
    """Give what root made in the workspace to ``user``: an earlier run may have been root's.

    Only root can, so it does nothing for anyone else. Links are never followed: whose the files
    of a linked folder are is for its owner to say.
    """
    if os.getuid() != 0:
        return
    if workspace.stat().st_uid == 0:
        os.chown(workspace, *user)
    kept = workspace / KEPT_FOLDER
    for name in SHARED_FOLDERS:
        top = workspace / name
        top.mkdir(exist_ok=True)
        _give_one(top, None, user)
        for folder, folders, files, descriptor in os.fwalk(top):
            if Path(folder) == kept.parent and kept.name in folders:
                folders.remove(kept.name)
            for entry in (*folders, *files):
                _give_one(entry, descriptor, user)


def _give_one(name: str | Path, folder: int | None, user: User) -> None:
    with contextlib.suppress(FileNotFoundError):
        if os.stat(name, dir_fd=folder, follow_symlinks=False).st_uid == 0:
            os.chown(name, *user, dir_fd=folder, follow_symlinks=False)
