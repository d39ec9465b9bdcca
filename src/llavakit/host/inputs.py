"""What a recipe reads from outside: weights and data that are downloaded or that the user has.

An input has an identity, which goes into the keys of what is made from it, and a place where steps
find it. What is downloaded lies in the workspace, what the user has appears there as a mount.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from llavakit import artefact
from llavakit.artefact import Artefact
from llavakit.engines.base import Mount
from llavakit.errors import DataError, WeightsError
from llavakit.locks import digest, file_sha256
from llavakit.parts import Given
from llavakit.recipe import Data, Recipe
from llavakit.workspace import INPUTS

DOWNLOADS = "downloads"
WEIGHTS = ("projector", "vision", "llm")
"""The smallest first: a mistake shows early."""


@dataclass(frozen=True)
class Input:
    """A part of the weights, or the data."""

    name: str
    """``projector``, ``vision``, ``llm`` or ``data``."""
    identity: object
    """What must be equal for two inputs to be the same (a JSON value)."""
    place: PurePosixPath | None = None
    """Where a step finds it, relative to the workspace; None for what is drawn."""
    mount: Mount | None = None
    """The user's own folder or file."""
    download: Artefact | None = None

    @property
    def folder(self) -> PurePosixPath:
        """Where the download goes."""
        assert self.download is not None  # noqa: S101 - asked of downloads only
        top = "data" if self.name == "data" else "models"
        return PurePosixPath(top, DOWNLOADS, artefact.folder_name(self.download))

    @property
    def drawn(self) -> bool:
        return self.place is None


def of_weights(recipe: Recipe, kit: Path) -> dict[str, Input]:
    """The parts of the weights. Raises WeightsError ``no-path`` and ``links-away``."""
    return {name: _part(name, getattr(recipe.weights, name), kit) for name in WEIGHTS}


def of_data(recipe: Recipe, kit: Path) -> Input:
    """The data. Raises DataError ``no-folder`` and ``no-file``."""
    data = recipe.data
    if data.download is not None:
        identity = digest([artefact.identity(data.download), data.file])
        made = Input("data", identity, download=data.download)
        return Input("data", identity, made.folder, download=data.download)
    folder, identity = _folder(data, kit)
    # By its hash: two runs with different data may be under way in one workspace.
    place = PurePosixPath(INPUTS, f"data-{identity[:8]}")
    return Input("data", identity, place, Mount(folder, str(place)))


def _part(name: str, part: object, kit: Path) -> Input:
    if isinstance(part, Artefact):
        identity = artefact.identity(part)
        folder = Input(name, identity, download=part).folder
        place = folder / part.files[0] if name == "projector" else folder
        return Input(name, identity, place, download=part)
    if isinstance(part, Given):
        return _given(name, part, kit)
    return Input(name, part.model_dump(mode="json"))  # type: ignore[attr-defined]


def _given(name: str, part: Given, kit: Path) -> Input:
    """What the user has. Never its content: reading 16 GB for a plan would take a minute."""
    path = _absolute(part.path, kit)
    wanted = "file" if name == "projector" else "folder with a config.json"
    if not (path.is_file() if name == "projector" else (path / "config.json").is_file()):
        raise WeightsError("no-path", part=name, path=path, wanted=wanted)
    files = {path.name: path} if path.is_file() else _files(path)
    stats = {key: file.stat() for key, file in files.items()}
    facts = {key: [stat.st_size, stat.st_mtime_ns] for key, stat in stats.items()}
    # The name of a single file says nothing that its content does not.
    identity = digest(["given", list(facts.values()) if path.is_file() else facts])
    top = PurePosixPath(INPUTS, f"{name}-{identity[:8]}")
    if path.is_file():  # keeps its name: the suffix says how to read it, messages end in it
        place = top / path.name
        return Input(name, identity, place, Mount(path, str(place)))
    root, inside = _root(name, path, files)
    return Input(name, identity, top / inside, Mount(root, str(top)))


def _files(folder: Path) -> dict[str, Path]:
    """Files under a folder by their relative names, without hidden ones (git's, a hub's notes)."""
    found = {path.relative_to(folder): path for path in sorted(folder.rglob("*"))}
    return {
        name.as_posix(): path
        for name, path in found.items()
        if path.is_file() and not any(part.startswith(".") for part in name.parts)
    }


def _root(name: str, folder: Path, files: Mapping[str, Path]) -> tuple[Path, Path]:
    """The folder to mount, and where in it ``folder`` is: links must lead somewhere in a job too.

    Never more than a model: the folder itself, or, in Hugging Face's cache, where a model is
    ``snapshots/REVISION/`` with links to ``blobs/`` beside ``snapshots``, that model's folder.
    Raises WeightsError ``links-away`` for links to anywhere else.
    """
    real = folder.resolve()
    targets = [file.resolve() for file in files.values()]
    away = [target for target in targets if not target.is_relative_to(real)]
    if not away:
        return folder, Path()
    model = real.parents[1]
    if real.parent.name == "snapshots" and all(
        target.is_relative_to(model / "blobs") for target in away
    ):
        return model, real.relative_to(model)
    raise WeightsError("links-away", part=name, path=folder)


def _absolute(path: str, kit: Path) -> Path:
    expanded = Path(path).expanduser()
    return expanded if expanded.is_absolute() else kit / expanded


def _folder(data: Data, kit: Path) -> tuple[Path, str]:
    """The data's own folder and the hash of what is in it."""
    folder = _absolute(str(data.folder), kit)
    if not folder.is_dir():
        raise DataError("no-folder", folder=folder)
    file = folder / data.file
    if not file.is_file():
        raise DataError("no-file", file=data.file, folder=folder)
    pictures = {name: folder / name for name in _pictures(file)}
    hashes = {name: file_sha256(path) for name, path in pictures.items() if path.is_file()}
    return folder, digest([data.file, file_sha256(file), hashes])


def _pictures(file: Path) -> list[str]:
    """The pictures that ``file`` names; whatever is wrong with it, the data step will say so."""
    try:
        items = json.loads(file.read_text(encoding="utf-8"))
        return sorted({item["image"] for item in items if isinstance(item.get("image"), str)})
    except (ValueError, OSError, AttributeError, TypeError, KeyError):
        return []
