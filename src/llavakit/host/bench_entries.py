"""The trainings that a bench measures: which, as which jobs, and what they take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from llavakit import locks
from llavakit.engines.base import Job
from llavakit.errors import KitError
from llavakit.host import bench_report, preflight, show_plan
from llavakit.host.consent import Cost
from llavakit.host.console import Screen
from llavakit.host.pipeline import Pipeline
from llavakit.host.plan import Stage, todo, weights_mounts
from llavakit.recipe import Recipe

INPUTS = ("models", "data")
START_MINUTES = {False: 0.5, True: 2.0}
"""What a training takes before its first iteration: small weights on a CPU, 8B on a GPU."""


@dataclass
class Entry:
    """One training to be measured."""

    label: str
    kind: str
    """``plain`` or ``kit``."""
    pipeline: Pipeline
    squeeze: int | None = None
    """MiB of the GPU that it is left."""
    refused: KitError | None = None
    """Why it cannot run on this host."""

    @property
    def recipe(self) -> Recipe:
        return self.pipeline.plan.recipe


def entries(pipelines: Sequence[Pipeline], *, plain: bool, squeeze: bool) -> list[Entry]:
    """Plain XTuner on the first recipe, then each recipe."""
    found = [Entry("plain", "plain", pipelines[0])] if plain else []
    for each in pipelines:
        name, taken = each.plan.recipe.name, {entry.label for entry in found}
        labels = (name if not n else f"{name}-{n + 1}" for n in range(len(pipelines) + 1))
        label = next(word for word in labels if word not in taken)
        need = each.plan.recipe.needs.gpu_mib if squeeze else None
        found.append(Entry(label, "kit", each, need))
    return found


def of_recipes(found: Iterable[Entry]) -> list[Entry]:
    """One entry for each recipe."""
    return [entry for entry in found if entry.kind == "kit"]


def job(entry: Entry, folder: PurePosixPath, iterations: int, *, warm: bool = False) -> Job:
    """The job that measures ``entry``, for any engine; ``folder`` is the bench's."""
    made, own = entry.pipeline.plan, folder / entry.label
    key = locks.digest(["bench", entry.kind, made.stage("train").key])[:16]
    argv = ["-m", "llavakit.steps.bench", "--recipe", own / "recipe.json",
            "--run", folder, "--key", key, "--label", entry.label, "--kind", entry.kind,
            "--weights", made.weights, "--data", made.stage("data").lock.parent,
            "--iterations", iterations, "--out", own / "result.json"]  # fmt: skip
    argv += ["--squeeze", entry.squeeze] if entry.squeeze else []
    argv += ["--warm"] if warm else []
    stage = Stage(entry.label, "bench", key, tuple(map(str, argv)), own / "result.json",
                  mounts=weights_mounts(made.inputs), uses_gpu=True)  # fmt: skip
    plain = entry.pipeline.job(stage)
    return replace(plain, labels={**plain.labels, "run": folder.name})


def cost(found: Iterable[Entry], iterations: int) -> Cost:
    """What measuring takes; no checkpoint is written."""
    minutes, memory = 0.0, 0.0
    for entry in found:
        recipe, expected = entry.recipe, entry.recipe.expected.iterations
        share = min(1.0, iterations / expected) if expected else 1.0
        minutes += START_MINUTES[preflight.needs_gpu(recipe)] + recipe.needs.minutes * share
        memory = max(memory, recipe.needs.memory_gib)
    return Cost(download=0, disk=0, memory=memory, minutes=max(1, round(minutes)),
                only_gets=False, unknown=(), trains=True)  # fmt: skip


def show(found: Sequence[Entry], folder: PurePosixPath, iterations: int, screen: Screen) -> None:
    """Print what would be made and run, and the command lines; runs nothing, writes nothing."""
    first = found[0].pipeline
    workspace, engine = first.workspace, show_plan.commands_of(first)
    stages = [
        {"recipe": entry.recipe.name, "stage": item.stage.label, "action": item.action}
        for entry in of_recipes(found)
        for item in todo(entry.pipeline.plan, workspace, INPUTS)
        if item.stage.label in INPUTS or item.action == "run"
    ]
    jobs = [
        {
            "label": entry.label,
            "kind": entry.kind,
            "recipe": entry.recipe.name,
            "squeeze_mib": entry.squeeze,
            "recipe_command": show_plan.recipe_line(
                entry.recipe, workspace.root / folder / entry.label
            ),
            "command": engine.command(job(entry, folder, iterations)),
        }
        for entry in found
    ]
    body = {"run": str(folder), "stages": stages, "jobs": jobs}
    screen.result(body, table=bench_report.plan_table(body, screen.lang))
    if screen.json_output:
        return
    screen.result(None, text=show_plan.by_hand(first, screen.lang))
    for each in jobs:
        lines = f"\n# {each['label']}\n{each['recipe_command']}\n{each['command']}"
        screen.result(None, text=lines)
