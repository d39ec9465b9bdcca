"""`invoke verify RUN`: hash again everything of a run that is still here, and say what drifted.

It sees bytes. It cannot see that somebody changed a file and the record alike; keep a record's hash
elsewhere for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from rich.table import Table

from llavakit import recipe as recipes
from llavakit.engines import docker as docker_engine
from llavakit.engines import image, venv
from llavakit.errors import EngineError, KitError, RecordError
from llavakit.host import comparing, environment, recording, results, words
from llavakit.host.console import Screen, table
from llavakit.host.diffing import short
from llavakit.host.finding import Found
from llavakit.host.settings import KIT, Settings
from llavakit.host.verifying import Locked, hash_all
from llavakit.parts import Given
from llavakit.recipe import Recipe
from llavakit.record_form import Run


@dataclass(frozen=True)
class Pin:
    """One thing that a run was pinned to. ``state``: ``ok``, ``drifted``, ``missing`` (it is not
    here to be looked at) or ``unknown`` (an older record does not say).
    """

    name: str
    recorded: str | None
    here: str | None
    state: str
    files: int = 0
    """How many files it stands for."""


def verify(settings: Settings, found: Found, screen: Screen) -> int:
    """Show one table; 0 when every pin that is here holds.

    Raises RecordError ``drifted`` and ``nothing-left``.
    """
    run = found.run
    root = found.root() or settings.workspace
    pins = [*_of_kit(settings, run), *_of_files(root, run, screen)]
    screen.result(
        {"run": run.id, "pins": [asdict(pin) for pin in pins]}, table=_table(run, pins, screen.lang)
    )
    drifted = [pin.name for pin in pins if pin.state == "drifted"]
    if drifted:
        raise RecordError(
            "drifted",
            count=len(drifted), total=sum(pin.state in ("ok", "drifted") for pin in pins),
            names=", ".join(drifted), commit=_commit(run),
        )  # fmt: skip
    if not any(pin.name in run.results.artefacts and pin.state == "ok" for pin in pins):
        raise RecordError("nothing-left", run=run.id)
    ok, missing = (sum(pin.state == state for pin in pins) for state in ("ok", "missing"))
    screen.say("verified", words.text("pin.done", screen.lang, ok=ok, missing=missing))
    return 0


def _of_kit(settings: Settings, run: Run) -> Iterator[Pin]:
    """The lock, the code and the environment, as they are in this clone and on this host."""
    identity = run.identity
    yield _pin("lock", identity.lock, environment.lock_sha256())
    yield _pin("steps", identity.steps, environment.source_sha256())
    yield _pin("template", identity.template, environment.template_sha256())
    if identity.base is not None:
        yield _pin("base", identity.base, _base(settings))
    else:
        yield _pin("python", identity.python, venv.version(environment.local_folder(settings)))


def _pin(name: str, recorded: str | None, here: str | None, files: int = 0) -> Pin:
    if recorded is None:
        return Pin(name, None, here, "unknown", files)
    state = "missing" if here is None else "ok" if here == recorded else "drifted"
    return Pin(name, recorded, here, state, files)


def _base(settings: Settings) -> str | None:
    """The base of the image that is here; None where nobody can tell."""
    try:
        labels = image.inspect_labels(docker_engine.connect(2.0), settings.image_tag) or {}
    except EngineError:
        return None
    digest = labels.get(environment.LABEL_BASE_DIGEST)
    return digest or labels.get(environment.LABEL_BASE) or None


def _of_files(root: Path, run: Run, screen: Screen) -> Iterator[Pin]:
    """Everything that was made, by stage; what drifted by its own name."""
    recipe = _recipe(root / "runs" / run.id / "recipe.json")
    recorded = comparing.flat(run.identity.model_copy(update={"weights": {}, "data": {}}))
    if recipe is None:
        yield Pin("recipe", "-", None, "missing")
    else:
        body = run.identity.model_copy(update={"recipe": recording.recorded(recipe), "weights": {},
                                               "data": {}, "seed": recipe.seed})  # fmt: skip
        yield Pin("recipe", "-", "-", "ok" if comparing.flat(body) == recorded else "drifted", 1)
    files = [*_files(root, run, recipe), *_sources(run)]
    with screen.progress("verify") as progress:
        checked = list(hash_all(files, progress.show))
    for label in dict.fromkeys(file.folder for file in checked):
        yield from _grouped(label, [file for file in checked if file.folder == label])
    yield _results(root, run)


def changed(root: Path, run: Run, stages: Iterable[str], screen: Screen) -> list[str]:
    """The files of these stages that are here with other bytes than recorded."""
    recipe = _recipe(root / "runs" / run.id / "recipe.json")
    files = [file for file in _files(root, run, recipe) if file.folder in tuple(stages)]
    with screen.progress("verify") as progress:
        return [each.name for each in hash_all(files, progress.show) if each.state == "changed"]


def _files(root: Path, run: Run, recipe: Recipe | None) -> Iterator[Locked]:
    for label, hashes in run.results.artefacts.items():
        for name, sha in hashes.items():
            path = root / name
            if not path.is_file() and recipe is not None:  # the user's own, not mounted here
                path = _yours(recipe, PurePosixPath(name)) or path
            yield _locked(name, label, path, sha)


def _sources(run: Run) -> Iterator[Locked]:
    """Pictures of the kit's own data: what the next run would read."""
    folder = (run.identity.recipe.get("data") or {}).get("folder")
    for name, sha in run.identity.data.items():
        path = KIT / str(folder) / name.removeprefix("pictures/")
        if folder and name.startswith("pictures/") and path.is_file():
            yield _locked(f"{folder}/{name.removeprefix('pictures/')}", "source", path, sha)


def _locked(name: str, label: str, path: Path, sha: str) -> Locked:
    size = path.stat().st_size if path.is_file() else 0
    return Locked(name, label, path, sha, size, "", None)


def _yours(recipe: Recipe, name: PurePosixPath) -> Path | None:
    """Where a file of a part lies that the user has: ``models/X/llm/NAME``."""
    if name.parts[:1] != ("models",) or len(name.parts) < 3:
        return None
    part = getattr(recipe.weights, name.parts[2], None)
    return Path(part.path).joinpath(*name.parts[3:]) if isinstance(part, Given) else None


def _grouped(label: str, files: list[Locked]) -> Iterator[Pin]:
    """A line for all that hold, one for all that are gone, one for each that drifted."""
    for state, name in (("ok", "ok"), ("missing", "missing")):
        count = sum(file.state == state for file in files)
        if count:
            yield Pin(label, None, None, name, count)
    for file in files:
        if file.state == "changed":
            yield Pin(file.name, file.sha256, None, "drifted", 1)


def _results(root: Path, run: Run) -> Pin:
    """Whether the record says what the run's own files say."""
    folder, said = root / "runs" / run.id, run.results
    history = results.read_json(folder / "train" / "history.json")
    comparison = results.read_json(folder / "comparison.json")
    checks = []
    if isinstance(history, list) and said.losses:
        checks += [[row.get("loss") for row in history] == said.losses]
    if isinstance(comparison, dict) and said.scores is not None:
        checks += [comparison.get("means") == said.scores]
    made = set(said.artefacts.get("models", {}).values())
    if made and run.identity.weights:
        checks += [set(run.identity.weights.values()) == made]
    state = "missing" if not checks else "ok" if all(checks) else "drifted"
    return Pin("record", None, None, state)


def _recipe(path: Path) -> Recipe | None:
    try:
        return recipes.load(path) if path.is_file() else None
    except KitError:
        return None


def _commit(run: Run) -> str:
    stages = run.provenance.stages
    return stages[-1].kit.commit if stages else "-"


def _table(run: Run, pins: Iterable[Pin], lang: str) -> Table:
    columns = [words.text(f"records.{key}", lang) for key in ("what", "recorded", "here", "state")]
    rows = [(_name(pin, lang), short(pin.recorded), short(pin.here), _state(pin, lang))
            for pin in pins]  # fmt: skip
    return table(words.text("pin.title", lang, run=run.id), columns, rows)


def _name(pin: Pin, lang: str) -> str:
    key = f"pin.{pin.name}"
    return words.text(key, lang) if key in words.TABLE else pin.name


def _state(pin: Pin, lang: str) -> str:
    said = words.text(f"pin.{pin.state}", lang)
    counted = pin.files > 1 or (pin.files and pin.state != "drifted")
    return f"{said}, {words.text('records.count', lang, count=pin.files)}" if counted else said
