"""`invoke models --verify`: hash again what was locked, without an engine and without a network.

A file that drifted is moved aside, never deleted: the next `invoke models` gets exactly it again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from rich.console import Group
from rich.table import Table

from llavakit.errors import StepError
from llavakit.events import Event
from llavakit.host import amounts, words
from llavakit.host.console import Screen, table
from llavakit.host.disk import disk_errors
from llavakit.host.inputs import Input
from llavakit.host.pipeline import Pipeline
from llavakit.locks import StepLock

KNOWN, FIRST_USE = "known to the recipe", "locked at first use"
MADE, YOURS = "made here", "yours"
CHUNK = 1 << 20


@dataclass(frozen=True)
class Locked:
    """A file and what was locked of it. ``state``: ``ok``, ``changed`` or ``missing``."""

    name: str
    """Relative to the workspace, or absolute for what is the user's."""
    folder: str
    path: Path
    sha256: str
    bytes: int
    origin: str
    aside: Path | None
    """Where it goes when it drifted; None for what is not the kit's to move."""
    state: str = ""


def verify(pipeline: Pipeline, screen: Screen) -> int:
    """Hash every locked file; 0 when all are what was locked.

    Raises StepError ``drifted``, and ``not-verified`` when there is nothing of a part yet.
    """
    place = pipeline.workspace
    with place.lock("invoke models --verify", pipeline.say_waiting), disk_errors(place.root):
        absent = _absent(pipeline)
        files = list(_locked(pipeline))
        with screen.progress("verify") as progress:
            checked = list(hash_all(files, progress.show))
        drifted = [file for file in checked if file.state != "ok"]
        moved = [note for file in drifted if (note := _move_aside(file, place.root, screen.lang))]
    body = [{**asdict(file), "path": str(file.path), "aside": None} for file in checked]
    screen.result(
        {"files": body, "absent": absent, "moved": moved},
        table=Group(*_tables(checked, screen.lang)),
    )
    for note in moved:
        screen.say("moved aside", note)
    if drifted:
        why = "\n".join(f"{file.name}: {_state(file, screen.lang)}" for file in drifted)
        raise StepError("drifted", count=len(drifted), total=len(checked), why=why)
    if absent:
        raise StepError("not-verified", what=", ".join(absent))
    screen.say("verified", words.text("verify.done", screen.lang, count=len(checked)))
    return 0


def first_use(pipeline: Pipeline) -> dict[str, dict[str, str]]:
    """sha256 by name, by part, of what is locked without the recipe having known it."""
    found = {}
    for each in pipeline.plan.downloads.values():
        lock = StepLock(pipeline.workspace.root / each.folder / "lock.json")
        names = set((lock.read() or {}).get("facts", {}).get("first_use", ()))
        found[each.name] = {name: sha for name, sha in lock.hashes().items() if name in names}
    return found


def _absent(pipeline: Pipeline) -> list[str]:
    """The folders that `invoke models` fills and that hold nothing yet."""
    made, root = pipeline.plan, pipeline.workspace.root
    wanted = (*made.stage("models").needs, "models")
    locks = [made.stage(label).lock for label in wanted]
    return [str(lock.parent) for lock in locks if StepLock(root / lock).read() is None]


def _locked(pipeline: Pipeline) -> Iterator[Locked]:
    """Every file once: links from the models' folder lead to what was listed before."""
    root, weights = pipeline.workspace.root, pipeline.plan.weights
    seen = set()
    for each in pipeline.plan.downloads.values():
        body = StepLock(root / each.folder / "lock.json").read() or {}
        first = set(body.get("facts", {}).get("first_use", ()))
        for name, entry in body.get("files", {}).items():
            path = root / each.folder / name
            seen.add(path.resolve())
            origin = FIRST_USE if name in first else KNOWN
            yield _one(each.folder, name, path, entry, origin, path)
    body = StepLock(root / weights / "lock.json").read() or {}
    for name, entry in body.get("files", {}).items():
        path = root / weights / name
        if path.resolve() not in seen:
            # Beside the folder: it is made anew as a whole.
            aside = root / weights.with_name(f"{weights.name}.wrong") / name
            yield _one(weights, name, path, entry, MADE, aside)
    parts = {each.name: each for each in pipeline.plan.inputs}
    for name, sha256 in body.get("facts", {}).get("linked", {}).items():
        path = _of_user(parts, name)
        size = path.stat().st_size if path.is_file() else 0
        yield Locked(str(path), str(path.parent), path, sha256, size, YOURS, None)


def _one(
    folder: PurePosixPath,
    name: str,
    path: Path,
    entry: Mapping[str, Any],
    origin: str,
    aside: Path,
) -> Locked:
    full = str(folder / name)
    return Locked(full, str(folder), path, entry["sha256"], entry["bytes"], origin, aside)


def _of_user(parts: Mapping[str, Input], name: str) -> Path:
    """Where a linked file is on the host, whichever engine linked it: ``llm/NAME``."""
    part, _, rest = name.partition("/")
    each = parts[part]
    assert each.mount is not None and each.place is not None  # noqa: S101 - it was linked
    return each.mount.source / each.place.relative_to(each.mount.target) / rest


def hash_all(files: list[Locked], show: Callable[[Event], None]) -> Iterator[Locked]:
    """The files with the state that their bytes have; ``show`` gets how far it is."""
    total, done = sum(file.bytes for file in files), 0
    began = time.monotonic()

    def tell(item: str) -> None:
        rate = done / max(time.monotonic() - began, 0.001)
        left = round((total - done) / rate) if rate else None
        fields = {"done": done, "total": total, "unit": "bytes", "item": item,
                  "rate": rate, "seconds_left": left}  # fmt: skip
        show(Event("progress", "verify", time.time(), fields))

    for file in files:
        if not file.path.is_file():
            yield replace(file, state="missing")
            continue
        hasher = hashlib.sha256()
        with file.path.open("rb") as content:
            while chunk := content.read(CHUNK):
                hasher.update(chunk)
                done += len(chunk)
                tell(file.path.name)
        yield replace(file, state="ok" if hasher.hexdigest() == file.sha256 else "changed")


def _tables(files: list[Locked], lang: str) -> Iterator[Table]:
    """One for each folder."""
    columns = ("=file", "#size", "=sha256", "state")
    for folder, inside in groupby(files, key=lambda file: file.folder):
        yield table(folder, columns, [_row(file, lang) for file in inside])


def _row(file: Locked, lang: str) -> tuple[str, ...]:
    name = file.name.removeprefix(f"{file.folder}/")
    state = _state(file, lang)
    if file.state == "ok":
        state += f", {words.text(f'verify.{file.origin}', lang)}"
    return name, amounts.size(file.bytes), file.sha256[:12], state


def _state(file: Locked, lang: str) -> str:
    return words.text(f"verify.{file.state}", lang)


def _move_aside(file: Locked, root: Path, lang: str) -> str:
    """Rename a changed file to ``NAME.wrong``; what became of it, or nothing."""
    if file.aside is None or file.state != "changed":
        return ""
    number, target = 1, file.aside.with_name(f"{file.aside.name}.wrong")
    while target.exists():
        number += 1
        target = file.aside.with_name(f"{file.aside.name}.{number}.wrong")
    target.parent.mkdir(parents=True, exist_ok=True)
    file.path.rename(target)
    return words.text("verify.moved", lang, name=file.name, target=target.relative_to(root))
