"""A run as an RO-Crate 1.1 of the profile Process Run Crate 0.5: its files, and what made them.

A file below the crate's folder is a part of it, by its path. Any other has its hash as a name
(``ni:``, RFC 6920) and its path in the workspace beside: the crate says what it was and does not
hold it.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from llavakit.host.export_provenance import moment
from llavakit.record_form import Run, Stage

FILE_NAME = "ro-crate-metadata.json"
NAME = "llavakit run "
CRATE = "https://w3id.org/ro/crate/1.1"
PROCESS = "https://w3id.org/ro/wfrun/process/0.5"
TERMS = "https://w3id.org/ro/terms/workflow-run#"
CONTEXT = [
    f"{CRATE}/context",
    {name: f"{TERMS}{name}" for name in ("ContainerImage", "containerImage", "sha256")},
]
NO_INPUTS = ("--run", "--key", "--out")
"""Options of a step that name no input of it."""
FORMATS = {".json": "application/json", ".md": "text/markdown", ".py": "text/x-python",
           ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}  # fmt: skip
BYTES = "application/octet-stream"


@dataclass(frozen=True)
class Part:
    """A file of the crate. ``name`` is its path from the crate's folder."""

    name: str
    sha256: str
    bytes: int
    what: str = ""


@dataclass
class Crate:
    """What is known of a run's files: ``parts`` are in the crate's folder."""

    parts: dict[str, Part]
    """By the names that the record has for them; what is not recorded by its own."""
    licence: str
    """In words, for people."""
    entities: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By id, in their order."""

    def file(self, recorded: str, sha256: str) -> str:
        """The id of a file that the record names; it is described once."""
        part = self.parts.get(recorded)
        key = quote(part.name) if part else _by_hash(sha256)
        if part:
            self.entities.setdefault(key, _part(part))
            return key
        known = self.entities.setdefault(
            key, {"@id": key, "@type": "CreativeWork", "name": recorded, "sha256": sha256}
        )
        if recorded not in (known["name"], *known.get("alternateName", [])):
            known["alternateName"] = [*known.get("alternateName", []), recorded]
        return key


def metadata(run: Run, crate: Crate) -> dict[str, Any]:
    """The content of ro-crate-metadata.json."""
    files = [crate.file(name, part.sha256) for name, part in sorted(crate.parts.items())]
    actions = [_action(run, number, crate) for number in range(len(run.provenance.stages))]
    name = run.identity.recipe.get("name", "-")
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"{NAME}{run.id}",
        "description": f"The recipe {name}, run by llavakit: its record, what it made, and"
        " from what. Other files that the record names are in the workspace; their hashes name"
        " them here.",
        "datePublished": moment(run.created),
        "license": {"@id": "#licence"},
        "conformsTo": {"@id": PROCESS},
        "hasPart": _references(files),
        "mentions": _references(actions),
    }
    return {"@context": CONTEXT, "@graph": [*_head(crate.licence, root), *crate.entities.values()]}


def is_root(entity: Any) -> bool:
    """Whether an entity of a crate's graph is the root of one that was made here."""
    found = entity if isinstance(entity, dict) else {}
    return found.get("@id") == "./" and str(found.get("name")).startswith(NAME)


def _head(licence: str, root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {
        "@id": FILE_NAME,
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": {"@id": CRATE},
    }
    yield root
    yield {"@id": PROCESS, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
    yield {"@id": "#licence", "@type": "CreativeWork", "name": "Licence", "description": licence}


def _part(part: Part) -> dict[str, Any]:
    found = {
        "@id": quote(part.name),
        "@type": "File",
        "name": part.name,
        "contentSize": str(part.bytes),
        "encodingFormat": FORMATS.get(PurePosixPath(part.name).suffix, BYTES),
        "sha256": part.sha256,
    }
    return {**found, "description": part.what} if part.what else found


def _by_hash(sha256: str) -> str:
    return "ni:///sha-256;" + base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip("=")


def _references(keys: Iterable[str]) -> Any:
    """Each id once; one alone is no list, as the specification would have it."""
    found = [{"@id": key} for key in dict.fromkeys(keys)]
    return found[0] if len(found) == 1 else found


def _action(run: Run, number: int, crate: Crate) -> str:
    """One start of a stage. Its results are those of the last start that ended well."""
    stages = run.provenance.stages
    stage, key = stages[number], f"#{number + 1}-{_slug(stages[number].label)}"
    done = [each for each in stages if each.label == stage.label and each.outcome == "done"]
    results = run.results.artefacts.get(stage.label, {}) if done and stage is done[-1] else {}
    action: dict[str, Any] = {
        "@id": key,
        "@type": "CreateAction",
        "name": f"stage {stage.label}",
        "description": shlex.join(["python", *stage.argv]),
        "instrument": {"@id": _instrument(run, stage, crate)},
        "startTime": moment(stage.started),
    }
    crate.entities[key] = action
    if stage.seconds is not None:
        action["endTime"] = moment(stage.started, stage.seconds)
    if stage.outcome != "begun":
        ended = "Completed" if stage.outcome == "done" else "Failed"
        action["actionStatus"] = f"http://schema.org/{ended}ActionStatus"
    if stage.error:
        action["error"] = stage.error
    for name, hashes in (("object", _inputs(run, stage)), ("result", results)):
        if hashes:
            action[name] = _files(hashes, crate)
    if stage.described.get("image_id"):
        action["containerImage"] = {"@id": _image(stage, crate)}
    return key


def _files(hashes: Mapping[str, str], crate: Crate) -> Any:
    return _references(crate.file(name, sha) for name, sha in sorted(hashes.items()))


def _inputs(run: Run, stage: Stage) -> dict[str, str]:
    """The recorded files that the command line of a stage names, or names the folders of."""
    pairs = zip(stage.argv, stage.argv[1:], strict=False)
    named = [PurePosixPath(value) for option, value in pairs
             if option.startswith("--") and option not in NO_INPUTS]  # fmt: skip
    found = {}
    for label, hashes in run.results.artefacts.items():
        for name, sha in hashes.items():
            path = PurePosixPath(name)
            if label != stage.label and any(path.is_relative_to(place) for place in named):
                found[name] = sha
    return found


def _instrument(run: Run, stage: Stage, crate: Crate) -> str:
    """The step's module at its commit, and the packages that it ran with."""
    module = stage.argv[1] if stage.argv[:1] == ["-m"] and len(stage.argv) > 1 else stage.label
    version = stage.kit.commit + (" with changes that no commit holds" if stage.kit.dirty else "")
    key = f"#{_slug(module)}-{_slug(stage.kit.commit[:12])}{'-dirty' if stage.kit.dirty else ''}"
    crate.entities.setdefault(key, {
        "@id": key, "@type": "SoftwareApplication", "name": module, "softwareVersion": version,
        "softwareRequirements": {"@id": "#environment"},
    })  # fmt: skip
    crate.entities.setdefault("#environment", {
        "@id": "#environment", "@type": "SoftwareApplication",
        "name": "packages of docker/requirements.lock",
        "softwareVersion": f"sha256:{run.identity.lock}",
    })  # fmt: skip
    return key


def _image(stage: Stage, crate: Crate) -> str:
    sha256 = stage.described["image_id"].removeprefix("sha256:")
    key = f"#image-{_slug(sha256[:12])}"
    crate.entities.setdefault(key, {
        "@id": key, "@type": "ContainerImage",
        "additionalType": {"@id": f"{TERMS}DockerImage"},
        "name": stage.described.get("image", "llavakit"), "sha256": sha256,
    })  # fmt: skip
    return key


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text) or "-"
