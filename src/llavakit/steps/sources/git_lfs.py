"""A large file of a git repository, brought by git-lfs itself.

git-lfs 3.3 goes on from what it has, but forgets it when it is killed, and gives up after a number
of retries whether they brought anything or not. Both are mended from outside: what it had written
is taken up, and it is run again as long as that grows.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from llavakit.errors import SourceError
from llavakit.locks import file_sha256
from llavakit.steps.sources import answers, git_errors, git_process
from llavakit.steps.sources.base import Meter, RemoteFile

HASHED_A_SECOND = 50_000_000
"""Bytes: git-lfs reads what it has before it asks for more, and shows nothing meanwhile."""
LOOPING = 50
"""Answers in a row without a byte: after a redirect or a 401 git-lfs 3.3 asks again for ever."""
OTHER = re.compile(r"expected OID \w+, got (\w+) after (\d+) bytes written")


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

        def grown() -> int:
            return sum(size_of(path) for path in self._folder.rglob("tmp_pack_*"))

        env, patience = self._environment({}), self.patience.read
        return git_process.run(argv, env, self._folder, patience=patience, sign=grown, out=out)

    def smudge(self, file: RemoteFile, watch: _Watch) -> git_process.Ended:
        """Run git-lfs for one file, which it puts into its storage."""
        pointer = f"{answers.POINTER.decode()}v1\noid sha256:{file.sha256}\nsize {file.bytes}\n"
        seconds = str(max(1, round(self.patience.read)))
        env = self._environment(
            {
                "lfs.storage": str(self.storage),
                "lfs.basictransfersonly": "true",
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


class _Watch:
    """Tells the meter what came, and sees when git-lfs runs in circles."""

    def __init__(self, place: Workplace, file: RemoteFile, meter: Meter) -> None:
        self._place, self._file, self._meter = place, file, meter
        self.size = place.written()
        self._at, self._answers = 0, 0

    def __call__(self) -> int:
        self.count(self._place.written())
        self._read_trace()
        return self.size

    def count(self, size: int) -> None:
        """The file has ``size`` bytes now."""
        more = size - self.size
        if more > 0:
            self._meter.add(more)
        elif more < 0:
            self._meter.have(more)
        if more:
            self._answers = 0
        self.size = size

    def _read_trace(self) -> None:
        try:
            with self._place.trace.open("rb") as trace:
                trace.seek(self._at)
                said = trace.read()
        except OSError:
            return
        self._at += len(said)
        found = re.findall(r"HTTP: (\d{3})", said.decode(errors="replace"))
        self._answers += len(found)
        if found and self._answers > LOOPING:
            name = "gated" if found[-1] == "401" else "redirects"
            why = f"HTTP {found[-1]}, {self._answers} times in a row"
            raise SourceError(name, source=self._place.title, file=self._file.name, why=why)


def bring(place: Workplace, file: RemoteFile, meter: Meter) -> str:
    """Bring an LFS file into the part; its sha256, which git-lfs has checked.

    Raises SourceError as :meth:`base.Remote.fetch` does, and ``wrong-bytes``.
    """
    meter.have(size_of(place.part))
    fruitless = 0
    for count in range(1, place.patience.most + 1):
        had = size_of(place.part)
        if had == file.bytes and file_sha256(place.part) == file.sha256:
            return file.sha256  # all had come, and more was announced
        try:
            return _try(place, file, meter)
        except SourceError as error:
            if error.name not in git_errors.PASSING:
                raise
            more = size_of(place.part) - had
            better = more >= place.patience.least if error.name == "stalled" else more > 0
            fruitless = 0 if better else fruitless + 1
            if fruitless >= place.patience.tries or count == place.patience.most:
                raise
            meter.note(f"{file.name}: {error.name} at byte {size_of(place.part)}; trying again.")
        time.sleep(place.patience.backoff * 2.0 ** max(0, fruitless - 1))
    raise AssertionError("unreachable")


def _try(place: Workplace, file: RemoteFile, meter: Meter) -> str:
    """Run git-lfs once."""
    sha256 = file.sha256 or ""
    place.hand_over(file)
    watch = _Watch(place, file, meter)
    begun = watch.size
    try:
        ended = place.smudge(file, watch)
    finally:
        place.take_up()
    done = place.storage / "objects" / sha256[:2] / sha256[2:4] / sha256
    if not ended.status:
        done.replace(place.part)
        return sha256
    if ended.quiet:
        seconds = round(place.patience.read)
        raise SourceError("stalled", source=place.title, file=file.name, seconds=seconds)
    other = OTHER.search(ended.said)
    if other is None:
        raise git_errors.explain(ended.said, place.title, file.name, file.name, place.patience.read)
    error = _other(place, file, other[1], int(other[2]))
    meter.have(-watch.size)
    place.part.unlink(missing_ok=True)
    raise SourceError("broken", source=place.title, file=file.name) if begun else error


def _other(place: Workplace, file: RemoteFile, found: str, size: int) -> SourceError:
    """What it was that git-lfs refused."""

    first = b""
    if place.part.exists():
        with place.part.open("rb") as part:
            first = part.read(answers.SNIFFED)
    if not size:
        return SourceError("empty", source=place.title, file=file.name)
    if first.lstrip().lower().startswith(answers.PAGES):
        return SourceError("html", source=place.title, file=file.name)
    if first.startswith(answers.POINTER):
        return SourceError("pointer", source=place.title, file=file.name)
    if size != file.bytes:
        return answers.wrong_length(size, place.title, file)
    return SourceError(
        "wrong-bytes", source=place.title, file=file.name, found=found, wanted=file.sha256
    )


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
