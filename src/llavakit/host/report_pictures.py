"""The pictures of a report: what the record names, with the recorded bytes, as data URIs."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from llavakit.record_form import Run

LARGEST = 2 * 2**20
"""Bytes of one picture. The host has no library that could make a larger one smaller."""
MOST = 12 * 2**20
"""Bytes of all pictures of a report: mail and issue trackers take no larger file gladly."""
FORMATS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
}
"""By the first bytes. SVG is none: a picture from a stranger must hold nothing but a picture."""


@dataclass(frozen=True)
class Picture:
    """``uri`` is empty where it cannot be shown; ``why`` is then the end of a ``report.picture.``
    key of the words.
    """

    name: str
    uri: str = ""
    why: str = ""


def pictures(run: Run, root: Path | None) -> dict[str, Picture]:
    """The pictures that the questions are about, by their names; ``root`` is the workspace."""
    found: dict[str, Picture] = {}
    left = MOST
    for name in dict.fromkeys(answer.image for answer in run.results.answers):
        made = _picture(run, root, name, min(left, LARGEST))
        left -= len(made.uri) * 3 // 4
        found[name] = made
    return found


def _picture(run: Run, root: Path | None, name: str, most: int) -> Picture:
    place = next((each for each in _named(run) if _is_of(each[0], name)), None)
    if place is None:
        return Picture(name, why="unnamed")
    if root is None:
        return Picture(name, why="missing")
    try:
        with (root / place[0]).open("rb") as file:
            content = file.read(most + 1)
    except OSError:
        return Picture(name, why="missing")
    if len(content) > most:
        return Picture(name, why="large")
    if hashlib.sha256(content).hexdigest() != place[1]:
        return Picture(name, why="changed")
    kind = _format(content)
    if kind is None:
        return Picture(name, why="format")
    return Picture(name, uri=f"data:{kind};base64,{base64.b64encode(content).decode()}")


def _named(run: Run) -> list[tuple[PurePosixPath, str]]:
    """The prepared data's files by their places in the workspace, none outside of it."""
    files = run.results.artefacts.get("data", {}).items()
    paths = [(PurePosixPath(name), sha) for name, sha in files]
    return [(path, sha) for path, sha in paths if not path.is_absolute() and ".." not in path.parts]


def _is_of(path: PurePosixPath, image: str) -> bool:
    """Whether a file is the picture that the data call ``image``."""
    parts = PurePosixPath(image).parts
    return path.parts[-len(parts) - 1 :] == ("pictures", *parts)


def _format(content: bytes) -> str | None:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in FORMATS.items() if content.startswith(start)), None)
