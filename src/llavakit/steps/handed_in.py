"""A submission as a list of files that can be read as bytes, be it a folder or a zip archive.

Nothing is unpacked and no link is followed. What is no ordinary file with an ordinary name is
refused before anything of it is read, and no more bytes are read than the submission may have.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from llavakit.errors import SubmissionError
from llavakit.submission import Bounds, shown

MOST_NAME = 200
DEEPEST = 6
NOT_OURS = ("__MACOSX", ".DS_Store", "Thumbs.db")
"""What packers of other systems add; never looked at."""
ENCRYPTED = 0x1
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError)
"""What zipfile raises for archives that are not what they say."""
Open = Callable[[], AbstractContextManager[IO[bytes]]]


@dataclass(frozen=True)
class File:
    """``name`` is relative, with slashes; ``size`` in bytes, as it claims: reading stops there."""

    name: str
    size: int
    open: Open


def files(path: Path, bounds: Bounds) -> dict[str, File]:
    """The files of a submission by name.

    Raises SubmissionError ``not-readable``, ``broken-archive``, ``link``, ``special-file``,
    ``escapes``, ``bad-name``, ``twice``, ``encrypted``, ``compression``, ``too-many-files`` and
    ``too-large``.
    """
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode):
        source = _of_folder(path, bounds)
    elif stat.S_ISREG(mode) and zipfile.is_zipfile(path):
        source = _of_archive(path, bounds)
    else:
        raise SubmissionError("not-readable")
    found: dict[str, File] = {}
    total = 0
    for file in source:
        if file.name in found:
            raise SubmissionError("twice", file=shown(file.name))
        found[file.name] = file
        total += file.size
        if len(found) > bounds.files:
            raise SubmissionError("too-many-files", most=bounds.files)
        if total > bounds.bytes:
            raise SubmissionError("too-large", most=size(bounds.bytes))
    return found


def content(file: File, most: int) -> bytes:
    """All of a small file. Raises SubmissionError ``too-large-file`` and ``broken-archive``."""
    if file.size > most:
        raise SubmissionError("too-large-file", file=shown(file.name), most=size(most))
    with file.open() as stream:
        return stream.read(file.size)


def size(count: int) -> str:
    """``12.3 MB``."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"


def _of_folder(root: Path, bounds: Bounds) -> Iterator[File]:
    seen = 0
    for folder, folders, names, descriptor in os.fwalk(root, follow_symlinks=False):
        inside = Path(folder).relative_to(root)
        folders[:] = [name for name in folders if name not in NOT_OURS]
        for name in [*folders, *names]:
            seen += 1
            if seen > 4 * bounds.files:  # folders too; a walk through a million takes a while
                raise SubmissionError("too-many-files", most=bounds.files)
            if name in NOT_OURS:
                continue
            whole = (inside / name).as_posix()
            _check_name(whole)
            about = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISLNK(about.st_mode):
                raise SubmissionError("link", file=shown(whole))
            if stat.S_ISDIR(about.st_mode):
                continue
            if not stat.S_ISREG(about.st_mode):
                raise SubmissionError("special-file", file=shown(whole))
            yield File(whole, about.st_size, _opener(root / whole))


def _opener(path: Path) -> Open:
    @contextmanager
    def open_it() -> Iterator[IO[bytes]]:
        # It was no link when it was listed, and it must not have become one.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as stream:
            yield stream

    return open_it


def _of_archive(path: Path, bounds: Bounds) -> Iterator[File]:
    if path.stat().st_size > bounds.archive_bytes:
        raise SubmissionError("too-large", most=size(bounds.archive_bytes))
    try:
        archive = zipfile.ZipFile(path)
    except BROKEN as error:
        raise SubmissionError("broken-archive", what=shown(str(error))) from None
    if len(archive.infolist()) > 4 * bounds.files:
        raise SubmissionError("too-many-files", most=bounds.files)
    for member in archive.infolist():
        name, kind = member.filename, member.external_attr >> 16
        if set(name.split("/")) & set(NOT_OURS):
            continue
        if name.startswith("/") or ".." in name.split("/") or "\\" in name or name[1:2] == ":":
            raise SubmissionError("escapes", file=shown(name))
        _check_name(name.rstrip("/"))
        if stat.S_ISLNK(kind):
            raise SubmissionError("link", file=shown(name))
        if stat.S_IFMT(kind) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise SubmissionError("special-file", file=shown(name))
        if member.flag_bits & ENCRYPTED:
            raise SubmissionError("encrypted", file=shown(name))
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise SubmissionError("compression", file=shown(name))
        if not member.is_dir():
            yield File(name, member.file_size, _member(archive, member))


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Open:
    @contextmanager
    def open_it() -> Iterator[IO[bytes]]:
        try:
            with archive.open(member) as stream:
                yield stream
        except BROKEN as error:
            raise SubmissionError("broken-archive", what=shown(str(error))) from None

    return open_it


def _check_name(name: str) -> None:
    """Raises SubmissionError ``bad-name``."""
    parts = name.split("/")
    printable = name.isprintable() and "\\" not in name
    if not printable or len(name) > MOST_NAME or len(parts) > DEEPEST or not all(parts):
        raise SubmissionError("bad-name", file=shown(name))
