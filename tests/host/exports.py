"""What the tests of export share."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml
from host.test_expecting import recipe
from host.test_report import answer
from records import SHA, body

from llavakit import record
from llavakit.host import environment, exporting
from llavakit.host.console import Screen
from llavakit.host.settings import KIT
from llavakit.workspace import Workspace

TUTORIAL = KIT / "configs" / "recipes" / "tutorial.yaml"


STANDIN = "llavakit-standin-base:bookworm"


CUDA = "nvidia/cuda:12.1.1-base-ubuntu22.04"


HOST = "secret-laptop"


def content(base: str = "", digest: str = "", **more: Any) -> dict[str, Any]:
    """A run with the present lock; with ``base`` one of the image that was built on it."""
    found = body(**{"lock": environment.lock_sha256(), "recipe": recipe(iterations=4), **more})
    found["results"]["answers"] = [answer(text="What?")]
    [stage] = found["provenance"]["stages"]
    stage["argv"] += ["--run", "runs/tiny-1", "--weights", "models/drawn-1", "--data",
                      "data/tiny-1"]  # fmt: skip
    stage |= {"host": HOST, "seconds": 2.6}
    facts = {"system": "Linux", "kernel": "6", "cpu": "x", "cores": 2, "memory_mib": 1}
    found["provenance"]["hosts"] = {HOST: {"name": HOST, **facts}}
    if base:
        found["identity"]["base"] = f"sha256:{digest}" if digest else base
        stage["engine"] = "docker"
        image = {"base": base, "image": "llavakit:0.1.0", "image_id": f"sha256:{SHA['c']}"}
        stage["described"] = {**image, "engine_version": "26.1.5"}
    return found


def placed(root: Path, found: dict[str, Any] | None = None, merged: bool = False) -> Workspace:
    """A workspace with the run and every file that it names, hashes made true."""
    found = found or content()
    artefacts = found["results"]["artefacts"]
    if merged:
        artefacts["merge"] = {"runs/tiny-1/merged/model.safetensors": SHA["a"]}
    for hashes in artefacts.values():
        for name in hashes:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"the bytes of {name}")
            hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (root / "runs" / "tiny-1" / record.FILE_NAME).write_text(json.dumps(found))
    return Workspace(root)


def exported(place: Workspace, run: str = "", to: str = "", lang: str = "en") -> dict[str, str]:
    """The written files' texts, by name."""
    assert exporting.export(place, run, to, Screen(lang=lang)) == 0
    root = Path(to) if to else place.runs / "tiny-1"
    folder = root if to else root / "export"
    paths = [root / "ro-crate-metadata.json", *folder.iterdir()]
    return {path.name: path.read_text() for path in paths}


def front_matter(card: str) -> dict[str, Any]:
    _, front, _ = card.split("---\n", 2)
    found = yaml.safe_load(front)
    assert isinstance(found, dict)
    return found


def graph(text: str) -> dict[str, dict[str, Any]]:
    entities = json.loads(text)["@graph"]
    found = {each["@id"]: each for each in entities}
    assert len(found) == len(entities), "described twice"
    return found


def references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [key for each in value for key in references(each)]
    if isinstance(value, dict):
        own = [value["@id"]] if value.keys() == {"@id"} else []
        return own + [key for each in value.values() for key in references(each)]
    return []
