"""A class's submissions on the host: listed and hashed, never parsed.

The host reads a stranger's bytes only to hash them. It follows no link and opens nothing that is no
ordinary file; what a submission is, its check says, in a container.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llavakit.errors import AssignmentError, SubmissionError
from llavakit.submission import TENSORS, Reason, shown

CHUNK = 1 << 20
MOST_FILES = 1000
"""More are never looked at: the check refuses far fewer."""


@dataclass(frozen=True)
class Handed:
    """One submission: whose, where, and the sha256 of all that it holds."""

    student: str
    path: Path
    sha256: str
    refused: Reason | None = None
    """What the host itself cannot hand on to a check."""

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.path.lstat().st_mode)


def submissions(folder: Path, most_bytes: int) -> list[Handed]:
    """All of a class, sorted by student: every folder and file of ``folder``, or ``folder`` itself
    where it is one submission.

    ``most_bytes`` of one are hashed, which is more than any may have. Raises AssignmentError
    ``no-submissions`` and ``same-student``.
    """
    found: dict[str, Handed] = {}
    for path in _entries(folder):
        student = shown(path.name.removesuffix(".zip"))
        if student in found:
            raise AssignmentError("same-student", folder=folder, student=student)
        found[student] = _one(student, path, most_bytes)
    if not found:
        raise AssignmentError("no-submissions", folder=folder)
    return [found[student] for student in sorted(found)]


def _entries(folder: Path) -> Iterator[Path]:
    if folder.is_file() or any((folder / part).is_dir() for part in TENSORS):
        yield folder
    elif folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _one(student: str, path: Path, most_bytes: int) -> Handed:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        sha256 = hashlib.sha256(b"link " + os.fsencode(path.readlink())).hexdigest()
        refused = SubmissionError("link", file=shown(path.name))
    elif stat.S_ISDIR(mode) or stat.S_ISREG(mode):
        return Handed(student, path, fingerprint(path, most_bytes))
    else:
        sha256 = hashlib.sha256(f"special {mode}".encode()).hexdigest()
        refused = SubmissionError("special-file", file=shown(path.name))
    return Handed(student, path, sha256, Reason.of(refused))


def fingerprint(path: Path, most_bytes: int) -> str:
    """sha256 over names, kinds and bytes. Past ``most_bytes`` and MOST_FILES only sizes and names
    count, and then nothing: such a submission is refused whatever the rest of it is.
    """
    whole, left = hashlib.sha256(), most_bytes
    for seen, (name, each) in enumerate(_walk(path)):
        if seen == MOST_FILES:
            whole.update(b"and more")
            break
        about = each.lstat()
        whole.update(f"{stat.S_IFMT(about.st_mode)} {about.st_size} ".encode())
        whole.update(os.fsencode(name) + b"\0")
        if stat.S_ISLNK(about.st_mode):
            whole.update(os.fsencode(each.readlink()))
        elif stat.S_ISREG(about.st_mode) and about.st_size <= left:
            left -= about.st_size
            _hash(each, whole)
    return whole.hexdigest()


def _walk(path: Path) -> Iterator[tuple[str, Path]]:
    """In an order that does not depend on the disk. A folder of a million files is not sorted."""
    if not path.is_dir():
        yield "", path
        return
    pending = [("", path)]
    while pending:
        name, folder = pending.pop()
        with os.scandir(folder) as entries:
            inside = [entry for entry, _ in zip(entries, range(MOST_FILES + 1), strict=False)]
        for entry in sorted(inside, key=lambda entry: os.fsencode(entry.name)):
            below = f"{name}/{entry.name}"
            yield below, folder / entry.name
            if entry.is_dir(follow_symlinks=False):
                pending.append((below, folder / entry.name))


def _hash(path: Path, whole: hashlib._Hash) -> None:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as content:
        while chunk := content.read(CHUNK):
            whole.update(chunk)
