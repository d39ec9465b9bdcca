"""Keep a run's record: what each stage was, where it ran, and what came out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from llavakit import record
from llavakit.engines.base import Engine, Outcome
from llavakit.errors import KitError
from llavakit.host import environment, results
from llavakit.host.plan import Plan, Stage
from llavakit.workspace import Workspace


@dataclass
class Clock:
    """When a stage began, and how long ago that is."""

    began: str = field(default_factory=record.now)
    _start: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start


def keep(
    plan: Plan,
    workspace: Workspace,
    stage: Stage,
    clock: Clock,
    *,
    engine: Engine | None,
    outcome: Outcome | None = None,
    error: KitError | None = None,
    gpus: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Add a stage to the run's record, with the results that are there by now.

    ``gpus`` are those that it was given. ``engine`` and ``outcome`` are None for a stage that
    another process, since killed, had begun.
    """
    kept = record.Record(workspace.root / plan.run)
    found = results.collect(plan, workspace)
    steps = environment.source_sha256()
    kept.identify(
        recipe=_recipe(plan),
        seed=plan.recipe.seed,
        lock=environment.lock_sha256(),
        weights=_inside(plan, "models", found),
        data=_inside(plan, "data", found),
        world_size=1,
    )
    if stage.label == "train":
        kept.identify(steps=steps)
    kept.stage(
        label=stage.label,
        key=stage.key,
        engine=engine.name if engine else None,
        guarantees=sorted(guarantee.value for guarantee in engine.guarantees) if engine else [],
        described=engine.describe() if engine else {},
        kit=environment.commit(),
        steps=steps,
        gpus=list(gpus),
        argv=list(stage.argv),
        started=clock.began,
        seconds=round(clock.seconds, 2),
        exit_code=outcome.exit_code if outcome else None,
        error=error.id if error else None,
    )
    kept.result(**found)
    kept.save()


def _inside(plan: Plan, label: str, found: dict[str, Any]) -> dict[str, str]:
    """Hashes by the names inside the stage's folder: what that is called is for the plan to say."""
    folder = plan.stage(label).lock.parent
    hashes = found["artefacts"].get(label, {})
    return {str(PurePosixPath(name).relative_to(folder)): hash_ for name, hash_ in hashes.items()}


def _recipe(plan: Plan) -> dict[str, Any]:
    """The resolved recipe. Of what is kept elsewhere the hash counts, not where a host has it."""
    body = plan.recipe.resolved()
    del body["rehearsal"]  # says nothing of a run: one with those weights has them as its weights
    places = [(body["data"], "folder"), *((part, "path") for part in body["weights"].values())]
    for part, key in places:
        path = Path(part.get(key) or "")
        if path.is_absolute() or path.parts[:1] == ("~",):
            part[key] = path.name
    return body
