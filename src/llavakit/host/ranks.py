"""Several ranks, as the command line asks for them: how many, and what their job needs besides."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from llavakit.engines.base import Job
from llavakit.errors import ConfigurationError
from llavakit.host import nvidia, provenance, results
from llavakit.host.console import Screen
from llavakit.host.plan import Plan, Stage
from llavakit.locks import LOCK
from llavakit.phrases import phrase
from llavakit.recipe import Recipe, overridden
from llavakit.workspace import Workspace

HOST = "LLAVAKIT_HOST"
"""Tells a step the host's name; a container has one of its own."""
ALL = "all"


def apply(recipe: Recipe, options: Mapping[str, Any], gpus: str) -> Recipe:
    """``recipe`` with as many ranks as ``--ranks`` says; ``all``: one for each of ``gpus``.

    ``--gpus`` alone never changes how many there are: with them the number of samples in a step
    changes, and with that the experiment. Raises ConfigurationError ``bad-value`` and ``no-count``,
    RecipeError ``ranks-memory`` and ``ranks-zero2``.
    """
    asked = str(options.get("ranks") or "")
    if not asked:
        return recipe
    if asked == ALL:
        found = nvidia.chosen(nvidia.gpus() or [], ALL if gpus == "auto" else gpus)
        if not found:
            raise ConfigurationError("no-count", gpus=gpus)
        asked = str(len(found))
    if not re.fullmatch(r"[1-9]\d{0,3}", asked):
        raise ConfigurationError(
            "bad-value", key="--ranks", value=asked, allowed=phrase("allowed.ranks")
        )
    return overridden(recipe, [f"train.ranks={asked}"])


def tell(screen: Screen, plan: Plan, workspace: Workspace, gpus: int) -> None:
    """Say what a training leaves: some of its ``gpus`` idle, or the same one with other ranks."""
    train = plan.recipe.train
    if gpus > train.ranks:
        batch = train.batch_size * train.accumulation
        screen.tell("train", "ranks.unused", ranks=train.ranks, gpus=gpus,
                    batch=batch * gpus, now=batch * train.ranks)  # fmt: skip
    if not (workspace.root / plan.run / "train").exists():
        for run, ranks, iteration in _others(plan, workspace):
            screen.tell("train", "ranks.other", run=run, ranks=ranks, n=iteration)


def _others(plan: Plan, workspace: Workspace) -> Iterator[tuple[str, int, int]]:
    """Unfinished trainings of the same recipe by another number of ranks: run, ranks, iterations.

    ZeRO-2 divides the optimizer's numbers among the ranks, and DeepSpeed 0.14.2 divides none anew
    ("Automatic adjustment of ZeRO's optimizer state partitioning with a new world size is not
    currently supported"). They are other experiments, too: their steps see other samples.
    """
    mine = plan.recipe.resolved()
    for folder in sorted(workspace.runs.glob(f"{plan.recipe.name}-*")):
        theirs = results.read_json(folder / "recipe.json") or {}
        ranks, lines = theirs.get("train", {}).get("ranks", 1), folder / "train" / "history.jsonl"
        theirs = {**theirs, "train": {**theirs.get("train", {}), "ranks": mine["train"]["ranks"]}}
        begun = lines.exists() and not (folder / "train" / LOCK).exists()
        if begun and theirs == mine and ranks != plan.recipe.train.ranks:
            yield folder.name, ranks, len(lines.read_text("utf-8").splitlines())


def job(made: Job, stage: Stage, recipe: Recipe) -> Job:
    """``made`` for ``stage``; the job of one rank stays as it is."""
    if stage.step != "train" or recipe.train.ranks == 1:
        return made
    return replace(made, env={**made.env, HOST: provenance.host()["name"]})
