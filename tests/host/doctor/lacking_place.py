"""Hosts that lack memory, disk, or a workspace that works."""

from __future__ import annotations

import os
import time
from pathlib import Path

from filelock import FileLock
from host.doctor.lacking import case, no_folder, unwritable, without_environment
from host.doctor.machine import GIB, Machine

from llavakit.host import environment
from llavakit.host.doctor import memory, place


@case("memory.ram", "fail", "8.0 GiB of memory are free", "")
def _(m: Machine) -> None:
    m.memory = 8 * GIB


@case("memory.ram", "warn", "0.5 GiB of memory are free", "")
def _(m: Machine) -> None:
    m.memory, m.recipe, m.overrides = GIB // 2, "tiny", []


@case("memory.engine", "fail", "the engine's machine has 7.8 GiB, and 24", "Docker Desktop")
def _(m: Machine) -> None:
    m.answer["memory_bytes"] = int(7.8 * GIB)


@case("memory.engine", "fail", "23.4 GiB at most, and 24 are", "less")
def _(m: Machine) -> None:
    m.total = 26 * GIB


@case("memory.shm", "warn", "8 MiB free in /dev/shm, 64 needed", "remount")
def _(m: Machine) -> None:
    m.options["engine"] = "local"
    m.disk = m.statvfs(free=8 << 20)


@case("memory.shm", "warn", "no /dev/shm", "mount -t tmpfs")
def _(m: Machine) -> None:
    m.options["engine"] = "local"
    m.patch.setattr(memory.shutil, "disk_usage", no_folder)


@case("disk.environment", "fail", "the image needs 7 GiB", "docker system prune")
def _(m: Machine) -> None:
    m.labels, m.disk = None, m.statvfs(free=5 * GIB)


@case("disk.environment", "fail", "the environment needs 7 GiB", "INVOKE_LLAVAKIT_ENVIRONMENTS=")
def _(m: Machine) -> None:
    without_environment(m)
    m.disk = m.statvfs(free=5 * GIB)


@case("disk.environment", "fail", "the image needs 7 GiB", "docker system prune")
def _(m: Machine) -> None:
    assert m.labels
    m.labels[environment.LABEL_ENVIRONMENT] = "0000"
    m.disk = m.statvfs(free=5 * GIB)


@case("disk.download", "fail", "16.7 GiB to fetch, 16.7 in all", "--workspace")
def _(m: Machine) -> None:
    m.disk = m.statvfs(free=16 * GIB)


@case("disk.download", "fail", "16.7 GiB to fetch, 23.7 in all", "--workspace")
def _(m: Machine) -> None:
    m.labels, m.disk = None, m.statvfs(free=20 * GIB)


@case("disk.write", "fail", "43.8 GiB to write, 60.5 in all", "--workspace /a/larger/disk")
def _(m: Machine) -> None:
    m.disk = m.statvfs(free=42 * GIB)


@case("disk.write", "fail", "one checkpoint at a time would fit", "train.checkpoints.keep=1")
def _(m: Machine) -> None:
    m.disk = m.statvfs(free=43 * GIB)


@case("disk.inodes", "fail", "room for 12 more files, 10000", "df -i")
def _(m: Machine) -> None:
    m.disk = m.statvfs(left=12)


@case("disk.inodes", "fail", "room for 20000 more files, 80000", "df -i")
def _(m: Machine) -> None:
    without_environment(m)
    m.disk = m.statvfs(left=20_000)


@case("workspace.writable", "fail", "Read-only file system", "INVOKE_LLAVAKIT_WORKSPACE=")
def _(m: Machine) -> None:
    m.patch.setattr(place.tempfile, "TemporaryDirectory", unwritable)


@case("workspace.owner", "fail", "runs (places: 1)", "sudo chown -R")
def _(m: Machine) -> None:
    (m.root / "runs").mkdir()
    m.patch.setattr(place.os, "access", lambda path, _: Path(path).name != "runs")


@case("workspace.filesystem", "fail", "lacks: rename", "INVOKE_LLAVAKIT_WORKSPACE=")
def _(m: Machine) -> None:
    m.patch.setattr(place, "write_atomic", unwritable)


@case("workspace.filesystem", "fail", "lacks: lock", "INVOKE_LLAVAKIT_WORKSPACE=")
def _(m: Machine) -> None:
    class Deaf(FileLock):
        """As on a file system that grants every lock."""

        def _acquire(self) -> None:
            self._context.lock_file_fd = os.open(self.lock_file, os.O_RDWR | os.O_CREAT)

    m.patch.setattr(place, "FileLock", Deaf)


@case("workspace.filesystem", "fail", "lacks: symlink", "INVOKE_LLAVAKIT_WORKSPACE=")
def _(m: Machine) -> None:
    m.patch.setattr(Path, "symlink_to", unwritable)


@case("workspace.filesystem", "warn", "9p (WSL)", "INVOKE_LLAVAKIT_WORKSPACE=")
def _(m: Machine) -> None:
    m.patch.setattr(place, "file_system", lambda _: "9p")


@case("workspace.lock", "warn", "in use by invoke train (process 7)", "invoke runs")
def _(m: Machine) -> None:
    (m.root / ".lock-owner").write_text("invoke train (process 7)")
    lock = FileLock(m.root / ".lock")
    lock.acquire()
    m.kept = lock  # type: ignore[attr-defined]


@case("clock", "fail", "1970-01-02", "set-ntp true")
def _(m: Machine) -> None:
    m.patch.setattr(place.time, "time", lambda: 86400.0)


@case("clock", "fail", "is before this clone's own", "set-ntp true")
def _(m: Machine) -> None:
    m.patch.setattr(place, "newest_commit", lambda: time.time() + 3600)


@case("clock", "warn", "differs by -60 s", "set-ntp true")
def _(m: Machine) -> None:
    now = time.time
    m.patch.setattr(place, "newest_commit", lambda: 0.0)
    m.patch.setattr(place.time, "time", lambda: now() + 60)


@case("clock", "warn", "s in the future", "set-ntp true")
def _(m: Machine) -> None:
    for name, seconds in (("tiny-0", 900), ("tiny-1", -900)):
        kept = m.root / "runs" / name / "run.json"
        kept.parent.mkdir(parents=True)
        kept.touch()
        os.utime(kept, (time.time() + seconds,) * 2)
