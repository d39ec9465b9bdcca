"""Keep a run's record: what each stage was, where it ran, and what came out."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from llavakit import record, redact
from llavakit.engines.base import Engine, Job, Outcome
from llavakit.errors import KitError
from llavakit.events import Event
from llavakit.host import environment, provenance, results, told
from llavakit.host.plan import Plan, Stage
from llavakit.recipe import Recipe
from llavakit.record_form import Origin
from llavakit.workspace import Workspace


@dataclass
class Clock:
    """When a stage began, and how long ago that is."""

    began: str = field(default_factory=record.now)
    epoch: float = field(default_factory=time.time)
    _start: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start


@dataclass(frozen=True)
class Attempt:
    """One start of a stage. ``engine`` and ``job`` are None for one that another process, since
    killed, had begun; ``gpus`` are those that it was given.
    """

    stage: Stage
    clock: Clock
    engine: Engine | None = None
    job: Job | None = None
    gpus: Sequence[Mapping[str, Any]] = ()


def begin(plan: Plan, workspace: Workspace, attempt: Attempt) -> None:
    """Add a stage that begins now to the run's record."""
    kept = record.Record(workspace.root / plan.run)
    _keep(kept, plan, workspace, attempt, outcome="begun")


def keep(
    plan: Plan,
    workspace: Workspace,
    attempt: Attempt,
    *,
    outcome: Outcome | None = None,
    error: KitError | None = None,
) -> None:
    """Add a stage that ended to the run's record, with the results that are there by now."""
    run_dir = workspace.root / plan.run
    kept, events = record.Record(run_dir), told.read(run_dir)
    stage = attempt.stage
    since = attempt.clock.epoch if attempt.engine else 0.0
    more = told.of_stage(events, stage.step, since)
    described = provenance.describe(attempt.engine) if stage.label == "train" else {}
    _trained(kept, stage, events, more, described)
    _keep(
        kept, plan, workspace, attempt,
        outcome="failed" if error else "done",
        seconds=round(attempt.clock.seconds, 2),
        exit_code=outcome.exit_code if outcome else None,
        error=error.id if error else None,
        **more,
    )  # fmt: skip


def settle(
    plan: Plan,
    workspace: Workspace,
    stage: Stage,
    *,
    outcome: Outcome | None = None,
    error: KitError | None = None,
) -> bool:
    """Say how a stage ended that a command began which was killed; False where none did.

    What that command recorded stays; its end is that of the step's last event.
    """
    run_dir = workspace.root / plan.run
    kept, events = record.Record(run_dir), told.read(run_dir)
    entry = kept.begun(stage.label, stage.key)
    if entry is None:
        return False
    since = record.epoch(entry["started"])
    more = told.of_stage(events, stage.step, since)
    _trained(kept, stage, events, more, entry["described"])
    times = [event.time for event in events if event.step == stage.step and event.time >= since]
    entry.update(
        outcome="failed" if error else "done",
        seconds=round(max(times) - since, 2) if times else None,
        exit_code=outcome.exit_code if outcome else None,
        error=error.id if error else None,
        **more,
    )
    found = results.collect(plan, workspace)
    _identify(kept, plan, found)
    kept.result(**found)
    kept.save()
    return True


def unsettled(plan: Plan, workspace: Workspace) -> list[Stage]:
    """The stages of the plan that a killed command left begun."""
    body = record.read(workspace.root / plan.run)
    stages = plan.stages if body else ()
    return [each for each in stages if body and record.begun(body, each.label, each.key)]


def stopped(run_dir: Path, error: KitError) -> None:
    """Say of what a killed command left begun that it was ended by ``error``."""
    kept = record.Record(run_dir)
    for stage in kept.body["provenance"]["stages"][-1:]:
        if stage["outcome"] == "begun":
            stage.update(outcome="failed", error=error.id)
            kept.save()


def _trained(
    kept: record.Record,
    stage: Stage,
    events: Sequence[Event],
    more: Mapping[str, Any],
    described: Mapping[str, str],
) -> None:
    """What a training says of the run: on which machines, in which environment."""
    if stage.label != "train":
        return
    kept.provenance(trained_on=told.trained_on(events), ranks=told.ranks(events))
    described = described or _described(kept, stage.label)
    kept.identify(
        steps=environment.source_sha256(),
        template=environment.template_sha256(),
        base=provenance.base(described),
        python=(more["machine"] or {}).get("python"),
    )


def _described(kept: record.Record, label: str) -> Mapping[str, str]:
    """What the engine said when a stage began, if it or the command was killed since."""
    stages = reversed(kept.body["provenance"]["stages"])
    return next((each["described"] for each in stages if each["label"] == label), {})


def reproduces(plan: Plan, workspace: Workspace, origin: Origin) -> None:
    """Say in the run's record which other one it is made from, before anything else."""
    run_dir = workspace.root / plan.run
    run_dir.mkdir(parents=True, exist_ok=True)
    kept = record.Record(run_dir)
    found = results.collect(plan, workspace)
    _identify(kept, plan, found)
    kept.result(**found)
    kept.provenance(reproduces=origin.model_dump(mode="json"))
    kept.save()


def _keep(
    kept: record.Record, plan: Plan, workspace: Workspace, attempt: Attempt, **more: Any
) -> None:
    stage, engine, job = attempt.stage, attempt.engine, attempt.job
    found, hidden = results.collect(plan, workspace), redact.secrets(os.environ)
    here = provenance.host()
    _identify(kept, plan, found)
    kept.host(here["name"], here)
    kept.stage(
        label=stage.label,
        key=stage.key,
        engine=engine.name if engine else None,
        guarantees=sorted(guarantee.value for guarantee in engine.guarantees) if engine else [],
        described=provenance.describe(engine),
        kit=provenance.kit(),
        steps=environment.source_sha256(),
        host=here["name"],
        gpus=list(attempt.gpus),
        argv=[redact.scrub(word, hidden) for word in stage.argv],
        command=provenance.command(engine, job) if engine and job else None,
        started=attempt.clock.began,
        **more,
    )
    kept.result(**found)
    kept.save()


def _identify(kept: record.Record, plan: Plan, found: dict[str, Any]) -> None:
    kept.identify(
        recipe=recorded(plan.recipe),
        seed=plan.recipe.seed,
        lock=environment.lock_sha256(),
        weights=_inside(plan, "models", found),
        data=_inside(plan, "data", found),
        world_size=plan.recipe.train.ranks,
    )


def _inside(plan: Plan, label: str, found: dict[str, Any]) -> dict[str, str]:
    """Hashes by the names inside the stage's folder: what that is called is for the plan to say."""
    folder = plan.stage(label).lock.parent
    hashes = found["artefacts"].get(label, {})
    return {str(PurePosixPath(name).relative_to(folder)): hash_ for name, hash_ in hashes.items()}


def recorded(recipe: Recipe) -> dict[str, Any]:
    """The resolved recipe. Of what is kept elsewhere the hash counts, not where a host has it."""
    body = recipe.resolved()
    del body["rehearsal"]  # says nothing of a run: one with those weights has them as its weights
    places = [(body["data"], "folder"), *((part, "path") for part in body["weights"].values())]
    for part, key in places:
        path = Path(part.get(key) or "")
        if path.is_absolute() or path.parts[:1] == ("~",):
            part[key] = path.name
    return body
