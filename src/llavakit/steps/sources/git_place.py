"""Where git and git-lfs work while they bring a file."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from llavakit.steps.sources import git_process
from llavakit.steps.sources.answers import POINTER
from llavakit.steps.sources.base import RemoteFile

HASHED_A_SECOND = 50_000_000
"""Bytes: git-lfs reads what it has before it asks for more, and shows nothing meanwhile."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a repository, and how often to try again. Times in seconds."""

    answer: float = 15.0
    """For everything that is no file's content."""
    read: float = 30.0
    tries: int = 5
    """In a row, without one byte that was not there before."""
    most: int = 200
    """In all."""
    backoff: float = 0.5
    """Before the first new try; doubles with every try that brings nothing."""
    least: int = 16 * 1024
    """Fewer bytes than this before a stall are no better than none."""


class Workplace:
    """A context manager: a folder beside ``part`` for git's and git-lfs's own files.

    It is on the same disk, so that the whole file is moved and not copied. Leaving it takes away
    the folder; what had come of the file is in ``part`` then.
    """

    def __init__(
        self,
        part: Path,
        title: str,
        at_hand: Path,
        commit: str,
        settings: Mapping[str, str],
        patience: Patience,
    ) -> None:
        self.part, self.title, self.patience = part.absolute(), title, patience
        self._folder = self.part.with_name(f"{part.name}.git")
        self.storage, self.trace = self._folder / "lfs", self._folder / "trace"
        self._incomplete = self.storage / "incomplete"
        self._at_hand, self._commit, self._settings = at_hand, commit, settings

    def __enter__(self) -> Workplace:
        self.take_up()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self.git("init", "--quiet", "--bare")
        # What is not at hand is fetched when it is asked for.
        for key, value in (
            ("core.repositoryFormatVersion", "1"),
            ("extensions.partialClone", "origin"),
            ("remote.origin.promisor", "true"),
        ):
            self.git("config", key, value)
        self.git("update-ref", "--no-deref", "HEAD", self._commit)  # whose .lfsconfig counts
        return self

    def __exit__(self, *_: object) -> None:
        self.take_up()
        shutil.rmtree(self._folder, ignore_errors=True)

    def take_up(self) -> None:
        """Make the largest that git-lfs wrote, in this run or one that was killed, the part."""
        written = [path for path in self._incomplete.glob("*") if path.is_file()]
        best = max(written, key=lambda path: path.stat().st_size, default=None)
        if best is not None and best.stat().st_size > size_of(self.part):
            best.replace(self.part)
        for path in written:
            path.unlink(missing_ok=True)

    def hand_over(self, file: RemoteFile) -> None:
        """Give git-lfs the part to go on from."""
        self._incomplete.mkdir(parents=True, exist_ok=True)
        if self.part.exists():
            self.part.replace(self._incomplete / f"{file.sha256}.part")

    def written(self) -> int:
        """Bytes of the file that git-lfs has on disk now, whole or not."""
        paths = (*self._incomplete.glob("*"), *self.storage.glob("objects/*/*/*"))
        return max(map(size_of, paths), default=0)

    def git(self, *args: str, out: int | IO[bytes] = subprocess.PIPE) -> git_process.Ended:
        """Run git here; it is stopped when nothing was written for as long as patience lasts."""
        argv = [git_process.program("git", self.title), *args]

        env, patience = self._environment({}), self.patience.read
        sign = partial(packed, self._folder)
        return git_process.run(argv, env, self._folder, patience=patience, sign=sign, out=out)

    def smudge(self, file: RemoteFile, watch: Callable[[], int]) -> git_process.Ended:
        """Run git-lfs for one file, which it puts into its storage."""
        pointer = f"{POINTER.decode()}v1\noid sha256:{file.sha256}\nsize {file.bytes}\n"
        seconds = str(max(1, round(self.patience.read)))
        env = self._environment(
            {
                "lfs.storage": str(self.storage),
                "lfs.basictransfersonly": "true",
                # A repository's .lfsconfig may ask for nothing, and for success without a file.
                "lfs.fetchexclude": "",
                "lfs.fetchinclude": "",
                "lfs.skipdownloaderrors": "false",
                "lfs.transfer.maxretries": "1",
                "lfs.activitytimeout": seconds,
                "lfs.dialtimeout": seconds,
                "lfs.tlstimeout": seconds,
            }
        )
        reading = self.written() / HASHED_A_SECOND
        return git_process.run(
            [git_process.program("git-lfs", self.title), "smudge", file.name],
            {**env, "GIT_TRACE": str(self.trace)},
            self._folder,
            patience=self.patience.read + 2 + reading,  # its own time-out knows more
            data=pointer.encode(),
            sign=watch,
            out=subprocess.DEVNULL,  # the same bytes once more
        )

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        slow = {"http.lowSpeedLimit": "1", "http.lowSpeedTime": str(round(self.patience.read))}
        env = git_process.environment({**self._settings, **slow, **more})
        return {**env, "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self._at_hand / "objects")}


def packed(folder: Path) -> int:
    """Bytes that have come of what git fetches in ``folder`` now."""
    return sum(size_of(path) for path in folder.rglob("tmp_pack_*"))


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
