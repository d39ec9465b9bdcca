"""A run as an in-toto Statement (v1) with SLSA's provenance (v1).

It says what was made from what, by which code. Nobody signs it: whoever has the record can write it
anew, and it proves no more than the record does. docs/records.md documents the types named here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from llavakit.artefact import Artefact, title
from llavakit.host.pinned import Base
from llavakit.recipe import Recipe
from llavakit.record_form import Run, Stage

FILE_NAME = "provenance.intoto.json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
HOME = "https://llavakit.invalid"
"""Names are made here; nothing answers there (RFC 2606)."""
BUILD_TYPE = f"{HOME}/run/v1"
UNSIGNED = "unsigned: whoever has the record can write this statement"


def statement(run: Run, recipe: Recipe, base: Base | None, record_sha256: str) -> dict[str, Any]:
    """The statement of a run whose record has this sha256; its image was built on ``base``.

    Empty where the run made nothing yet: a statement is about something.
    """
    subject = [_file(name, sha) for name, sha in sorted(made(run).items())]
    if not subject:
        return {}
    return {
        "_type": STATEMENT,
        "subject": subject,
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "recipe": run.identity.recipe,
                    "seed": run.identity.seed,
                    "worldSize": run.identity.world_size,
                },
                "internalParameters": {
                    "python": run.identity.python,
                    "steps": run.identity.steps,
                    "template": run.identity.template,
                    **_without_digest(run, base),
                },
                "resolvedDependencies": [
 *_inputs(run, recipe), *_environment(run, base), *_code(run)
],
            },
            "runDetails": {
                "builder": {"id": f"{HOME}/engine/{_engine(run)}", "version": _versions(run)},
                "metadata": {"invocationId": run.id, **_times(run.provenance.stages)},
                "byproducts": [
                    {**_file("run.json", record_sha256), "mediaType": "application/json",
                     "annotations": {"signature": UNSIGNED}}
                ],
            },
        },
    }  # fmt: skip


def made(run: Run) -> dict[str, str]:
    """What the run made, by name: weights and data are what it was made from."""
    start = f"runs/{run.id}/"
    return {
        name: sha
        for hashes in run.results.artefacts.values()
        for name, sha in hashes.items()
        if name.startswith(start)
    }


def moment(text: str, seconds: float = 0.0) -> str:
    """A record's time (see :func:`llavakit.record.now`) and some seconds, in RFC 3339."""
    began = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return (began + timedelta(seconds=round(seconds))).isoformat()


def _file(name: str, sha256: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": sha256}, **more}


def _inputs(run: Run, recipe: Recipe) -> Iterator[dict[str, Any]]:
    """Weights and data as they were read, with every place that they may have come from."""
    parts = {"llm": recipe.weights.llm, "vision": recipe.weights.vision,
             "projector.pth": recipe.weights.projector}  # fmt: skip
    for name, sha in sorted(run.identity.weights.items()):
        yield _file(f"weights/{name}", sha, **_from(parts.get(name.partition("/")[0])))
    for name, sha in sorted(run.identity.data.items()):
        yield _file(f"data/{name}", sha, **_from(recipe.data.download or recipe.data))


def _from(part: Any) -> dict[str, Any]:
    if isinstance(part, Artefact):
        places = [title(source) for source in part.sources]
    elif getattr(part, "source", "") in ("drawn", "random"):
        places = ["drawn from the seed"]
    else:
        return {}
    return {"annotations": {"origin": places}}


def _environment(run: Run, base: Base | None) -> Iterator[dict[str, Any]]:
    yield _file("docker/requirements.lock", run.identity.lock)
    if base is not None and base.sha256:
        yield _file(base.image, base.sha256, uri=base.purl())


def _code(run: Run) -> Iterator[dict[str, Any]]:
    """Every commit of the kit that had a part in it."""
    kits = {(each.kit.commit, each.kit.dirty, each.kit.diff) for each in run.provenance.stages}
    for commit, dirty, diff in sorted(kits, key=str):
        if is_commit(commit):
            changed = {"annotations": {"uncommitted": diff or "yes"}} if dirty else {}
            yield {"name": "llavakit", "digest": {"gitCommit": commit}, **changed}


def _without_digest(run: Run, base: Base | None) -> dict[str, Any]:
    """What cannot be a resolved dependency: those need a digest, or an address, to be one."""
    found: dict[str, Any] = {}
    if base is not None and not base.sha256:
        found["base"] = base.image
    kits = {each.kit.commit for each in run.provenance.stages}
    if unknown := sorted(each for each in kits if not is_commit(each)):
        found["kit"] = unknown
    return found


def is_commit(text: str) -> bool:
    """Whether it is the hash of a commit, and no word for an unknown one."""
    return re.fullmatch("[0-9a-f]{40}", text) is not None


def _engine(run: Run) -> str:
    """The engine that trained; where nothing did, the last one."""
    ran = [each for each in run.provenance.stages if each.engine]
    trained = [each for each in ran if each.label == "train"] or ran
    return str(trained[-1].engine) if trained else "unknown"


def _versions(run: Run) -> dict[str, str]:
    name = _engine(run)
    described = [each.described for each in run.provenance.stages if each.engine == name]
    keys = ("engine_version", "api_version", "kernel", "image_id", "repo_digests")
    found = {key: each[key] for each in described for key in keys if each.get(key)}
    return dict(sorted(found.items()))


def _times(stages: Iterable[Stage]) -> dict[str, str]:
    began = [moment(each.started) for each in stages]
    ended = [moment(each.started, each.seconds) for each in stages if each.seconds is not None]
    found = {"startedOn": min(began, default=""), "finishedOn": max(ended, default="")}
    return {key: value.replace("+00:00", "Z") for key, value in found.items() if value}
