"""`invoke export [RUN]`: the record in the formats that others read.

A crate, a provenance statement, a model card and a bill of materials. They hold what the record
says, and of the run's files sizes and hashes; the same record with the same files gives the same
bytes on any host and in any language.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from llavakit import card_terms, record
from llavakit import recipe as recipes
from llavakit.errors import RecordError
from llavakit.host import (
    amounts,
    environment,
    export_card,
    export_crate,
    export_provenance,
    export_sbom,
    finding,
    pinned,
    words,
)
from llavakit.host.console import Screen
from llavakit.host.export_crate import Crate, Part
from llavakit.host.finding import Found
from llavakit.host.settings import KIT
from llavakit.host.verifying import Locked, hash_all
from llavakit.locks import file_sha256, write_atomic
from llavakit.workspace import Workspace

FOLDER = "export"
NOTICE = "NOTICE"
APT = KIT / "docker" / "apt"
LICENCES = KIT / "docker" / "licences.json"
"""Made by scripts/list_licences.py."""
WHAT = {
    export_provenance.FILE_NAME: "in-toto statement with SLSA provenance, unsigned",
    export_card.FILE_NAME: "model card",
    export_sbom.FILE_NAME: "CycloneDX bill of materials of the environment",
    NOTICE: "the attribution that the licence of Meta Llama 3 asks for",
    record.FILE_NAME: "the run's record",
}


@dataclass(frozen=True)
class Target:
    """Where an export goes. The crate is ``root`` and what is below it."""

    root: Path
    folder: Path

    def inside(self, path: Path) -> str:
        """The path from the crate's root."""
        return path.relative_to(self.root).as_posix()


def export(place: Workspace, name: str, to: str, screen: Screen) -> int:
    """Write the files and say where; nothing is written before all of them are made.

    Raises RecordError (``other-lock`` where this clone has other packages than the run,
    ``export-link`` and ``export-occupied``) and RecipeError.
    """
    found = finding.find(place, name)
    run, sha256 = found.run, file_sha256(found.file)
    recipe = recipes.parse(run.identity.recipe, origin=str(found.file))
    target, base = _target(found, to), pinned.base(run, APT)
    texts = {
        export_card.FILE_NAME: export_card.text(run, recipe, record.FILE_NAME, sha256),
        export_sbom.FILE_NAME: _json(
            export_sbom.bill(run, _lock(found), base, json.loads(LICENCES.read_text("utf-8")))
        ),
    }
    if stated := export_provenance.statement(run, recipe, base, sha256):
        texts[export_provenance.FILE_NAME] = _json(stated)
    if card_terms.derives_from_llama_3(recipe):
        texts[NOTICE] = card_terms.NOTICE
    checked = list(_artefacts(found, screen))
    crate = Crate(_parts(found, target, checked, texts, sha256), card_terms.terms(recipe))
    files = {target.root / export_crate.FILE_NAME: _json(export_crate.metadata(run, crate))}
    files |= {target.folder / name: text for name, text in texts.items()}
    target.folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        write_atomic(path, text)
    _copy_record(found, target)
    _tell(list(files), checked, run.id, screen)
    return 0


def _target(found: Found, to: str) -> Target:
    """In a run's folder the crate is the whole run; elsewhere it is a folder of its own.

    Raises RecordError ``export-link`` where a run from elsewhere leads out of its folder, and
    ``export-occupied`` where a user's own files are.
    """
    if found.root() is not None and not to:
        target = Target(found.file.parent, found.file.parent / FOLDER)
    else:
        named = Path(to).expanduser().absolute() if to else None
        folder = named or found.file.with_name(f"{found.file.stem}.{FOLDER}")
        target = Target(folder, folder)
    if not to and target.folder.is_symlink():
        raise RecordError("export-link", path=target.folder)
    if target.root == target.folder and not _is_ours(target.folder):
        raise RecordError("export-occupied", folder=target.folder)
    return target


def _is_ours(folder: Path) -> bool:
    """Whether an export may write there: nothing is in it, or an earlier export is."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return True
    try:
        text = (folder / export_crate.FILE_NAME).read_text(encoding="utf-8")
        return any(export_crate.is_root(each) for each in json.loads(text)["@graph"])
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _lock(found: Found) -> str:
    """The lock that the record names. Raises RecordError ``other-lock``."""
    theirs, ours = found.run.identity.lock, environment.lock_sha256()
    if theirs != ours:
        stages = found.run.provenance.stages
        commit = stages[-1].kit.commit if stages else "-"
        raise RecordError(
            "other-lock", run=found.run.id, theirs=theirs[:12], ours=ours[:12], commit=commit
        )
    return environment.LOCK.read_text(encoding="utf-8")


def _artefacts(found: Found, screen: Screen) -> Iterator[Locked]:
    """Every file that the record names, with whether it is here as recorded."""
    root = found.root()
    files = {
        name: Locked(name, label, path, sha, path.stat().st_size if path.is_file() else 0, "", None)
        for label, hashes in found.run.results.artefacts.items()
        for name, sha in hashes.items()
        if (path := _inside(root, name)) is not None
    }
    with screen.progress("export") as progress:
        yield from hash_all(list(files.values()), progress.show)


def _inside(root: Path | None, name: str) -> Path | None:
    """Where a recorded file lies; a stranger's record can name none outside of the workspace."""
    path = PurePosixPath(name)
    if root is None or path.is_absolute() or ".." in path.parts:
        return None
    return root / path


def _parts(
    found: Found, target: Target, checked: list[Locked], texts: dict[str, str], sha256: str
) -> dict[str, Part]:  # fmt: skip
    parts = {
        file.name: Part(target.inside(file.path), file.sha256, file.bytes)
        for file in checked
        if file.state == "ok" and file.path.is_relative_to(target.root)
    }
    for name, text in texts.items():
        content = text.encode()
        path = target.inside(target.folder / name)
        parts[path] = Part(path, hashlib.sha256(content).hexdigest(), len(content), WHAT[name])
    size = found.file.stat().st_size
    parts[record.FILE_NAME] = Part(record.FILE_NAME, sha256, size, WHAT[record.FILE_NAME])
    return parts


def _copy_record(found: Found, target: Target) -> None:
    copy = target.root / record.FILE_NAME
    if not (copy.exists() and copy.samefile(found.file)):
        write_atomic(copy, found.file.read_bytes())


def _tell(files: list[Path], checked: list[Locked], run: str, screen: Screen) -> None:
    for file in files:
        size = amounts.size(file.stat().st_size)
        screen.say("export", words.text("report.written", screen.lang, path=file, size=size))
    changed = [file.name for file in checked if file.state == "changed"]
    missing = [file.name for file in checked if file.state == "missing"]
    if export_provenance.FILE_NAME not in [file.name for file in files]:
        screen.tell("left out", "export.nothing-made", name=export_provenance.FILE_NAME)
    if changed:
        names = ", ".join(changed)
        screen.say("left out", words.text("export.changed", screen.lang, names=names))
    if missing:
        screen.say("left out", words.text("export.missing", screen.lang, count=len(missing)))
    body: dict[str, Any] = {
        "run": run,
        "files": {str(file): file_sha256(file) for file in files},
        "changed": changed,
        "missing": missing,
    }
    screen.result(body, text="\n".join(map(str, files)))


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
