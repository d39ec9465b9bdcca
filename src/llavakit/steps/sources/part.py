"""A file on its way: the bytes that have come, on disk, and their hash, always in step."""

from __future__ import annotations

import hashlib
from pathlib import Path

from llavakit.steps.sources.base import Meter, RemoteFile

PIECE = 1 << 18


class Part:
    """A context manager: opens ``path`` and hashes what is there; leaves no empty file behind.

    Raises OSError as the disk does. After one the part is still a beginning of the file.
    """

    def __init__(self, path: Path, file: RemoteFile, meter: Meter) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._wanted, self._meter = path, file, meter
        self._file = path.open("a+b", buffering=0)  # nothing that came is only in memory
        self._hash = hashlib.sha256()
        self.size = 0
        """Bytes."""
        self.total = file.bytes
        """Bytes of the whole file, as last announced."""
        self.tag = strong(file.version)
        """The ETag of the content that this is a beginning of."""
        self.doubted = False
        """Whether an answer that did not fit was met with a new start already."""
        self.ended: tuple[int, str] | None = None
        """Length and sha256 of an earlier transfer whose end nothing vouched for."""

    def __enter__(self) -> Part:
        try:
            self._take_up()
        except BaseException:
            self._file.close()
            raise
        return self

    def _take_up(self) -> None:
        self._file.seek(0)
        while piece := self._file.read(PIECE):
            self._hash.update(piece)
            self.size += len(piece)
        self._meter.have(self.size)
        if self._wanted.bytes is not None and self.size > self._wanted.bytes:
            self.start_over()

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.close()
        if kind is not None and not self.size:
            self._path.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def is_whole(self) -> bool:
        """By its length or, whatever a length says, by its hash."""
        return self.size > 0 and (
            self.size == self._wanted.bytes or self.sha256 == self._wanted.sha256
        )

    def goes_on(self, begin: int | None, total: int | None, tag: str) -> bool:
        """Whether an answer that begins at ``begin`` is the rest of what is here."""
        same_length = None in (total, self.total) or total == self.total
        same_content = not (tag and self.tag) or tag == self.tag
        return begin == self.size and same_length and same_content

    def learn(self, total: int | None, tag: str) -> None:
        """Keep what the server that now answers says of the whole file."""
        self.total = self._wanted.bytes if self._wanted.bytes is not None else total
        self.tag = tag

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            count = self._file.write(rest)
            self._hash.update(rest[:count])
            self.size += count
            self._meter.add(count)
            rest = rest[count:]

    def start_over(self) -> None:
        self._file.truncate(0)
        self._meter.have(-self.size)
        self._hash, self.size = hashlib.sha256(), 0
        self.learn(None, "")


def strong(tag: str) -> str:
    """An ETag if it is one that vouches for every byte, else nothing."""
    return tag if tag.startswith('"') and tag.endswith('"') else ""
