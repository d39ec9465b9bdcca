"""`invoke clean`: names what it would delete, and never takes weights or runs unasked."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from llavakit.engines.docker import DockerEngine, connect
from llavakit.errors import ConfigurationError, EngineError, WorkspaceError
from llavakit.host import jobs, words
from llavakit.host.console import Screen, table
from llavakit.host.pipeline import waiting
from llavakit.host.settings import Settings
from llavakit.workspace import Workspace, is_busy


def clean(settings: Settings, options: Mapping[str, Any], screen: Screen) -> int:
    """Delete what can be made again.

    Raises ConfigurationError ``needs-yes`` without --yes, and WorkspaceError ``busy`` while a run
    is being worked on.
    """
    place = Workspace(settings.workspace)
    with place.lock("invoke clean", waiting(screen)):
        for run in place.runs.glob("*"):
            if is_busy(run):
                raise WorkspaceError("busy", folder=run)
        return _clean(place, settings, options, screen)


def _clean(place: Workspace, settings: Settings, options: Mapping[str, Any], screen: Screen) -> int:
    docker = _docker(settings)
    folders = _folders(place, settings, options)
    containers = docker.leftovers(jobs.labels(place)) if docker else []
    image = settings.image_tag if options.get("image") and docker and docker.has_image() else ""
    rows = [(str(path), _size(path)) for path in folders]
    names = [name for name, _ in rows] + [f"container {name}" for name in containers]
    names += [f"image {image}"] if image else []
    say = partial(words.text, lang=screen.lang)
    rows += [(say("clean.container", name=name), "") for name in containers]
    rows += [(say("clean.image", name=image), "")] if image else []
    if not rows:
        screen.result({"deleted": []}, text=say("clean.nothing"))
        return 0
    columns = (say("clean.what"), "#" + say("clean.size"))
    if not options.get("yes"):
        screen.result({"would delete": names}, table=table(say("clean.would"), columns, rows))
        raise ConfigurationError("needs-yes")
    for path in folders:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if docker and containers:
        docker.sweep(jobs.labels(place))
    if docker and image:
        docker.remove_image()
    screen.result({"deleted": names}, table=table(say("clean.deleted"), columns, rows))
    return 0


def _docker(settings: Settings) -> DockerEngine | None:
    try:
        return DockerEngine(connect(timeout=2), settings.image_tag)
    except EngineError:
        return None


def _folders(place: Workspace, settings: Settings, options: Mapping[str, Any]) -> list[Path]:
    keep = {settings.environments, place.cache / "environments"}
    found = [
        path for path in place.cache.glob("*") if path not in keep and path.name != ".writable"
    ]
    found += half_made(place)
    for name in ("models", "data", "runs"):
        if options.get(name):
            found += (path for path in (place.root / name).glob("*"))
    if options.get("environments") and settings.environments.exists():
        found.append(settings.environments)
    return sorted(set(found))


def half_made(place: Workspace) -> list[Path]:
    """What a killed step left half-made."""
    found: list[Path] = []
    for pattern in (".*.partial", ".*.old"):
        for folder in (place.models, place.data, place.runs):
            found += folder.glob(pattern)
        found += place.runs.glob(f"*/{pattern}")
    return found


def _size(path: Path) -> str:
    """What deleting ``path`` frees: a link and what it leads to are no part of it."""
    files = [path, *(path.rglob("*") if path.is_dir() and not path.is_symlink() else ())]
    total = sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink())
    return f"{total / 2**20:.1f} MiB"
