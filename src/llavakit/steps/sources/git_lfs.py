"""A large file of a git repository, brought by git-lfs itself.

git-lfs 3.3 goes on from what it has, but forgets it when it is killed, and gives up after a number
of retries whether they brought anything or not. Both are mended from outside: what it had written
is taken up, and it is run again as long as that grows.
"""

from __future__ import annotations

import re
import time

from llavakit.errors import SourceError
from llavakit.locks import file_sha256
from llavakit.steps.sources import answers, git_errors
from llavakit.steps.sources.base import Meter, RemoteFile
from llavakit.steps.sources.git_place import Workplace, size_of

LOOPING = 50
"""Answers in a row without a byte: after a redirect or a 401 git-lfs 3.3 asks again for ever."""
OTHER = re.compile(r"expected OID \w+, got (\w+) after (\d+) bytes written")


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
            meter.note(
                "note.again-at",
                file=file.name, what=error.as_phrase(), byte=size_of(place.part),
            )  # fmt: skip
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
        if not done.is_file():
            why = "git-lfs says that it succeeded, and brought nothing"
            raise SourceError("broken", source=place.title, file=file.name, why=why)
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
