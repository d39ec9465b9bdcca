"""No surprise: what a command takes is said, and asked for, before gigabytes or an hour begin."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from llavakit.errors import ConfigurationError, Interrupted, WorkspaceError
from llavakit.host import amounts
from llavakit.host.console import Screen
from llavakit.host.plan import Plan, Stage
from llavakit.parts import RandomLLM
from llavakit.recipe import Recipe
from llavakit.workspace import Workspace

GIB = 2**30
ASK_GIB = 1.0
ASK_MINUTES = 30.0
CONVERTED_GIB = 2.0
"""Of weights that come as pickles a copy in a safe form is kept: CLIP's are 1.2 GiB."""
EXAMPLE_RATE = 10e6
"""Bytes/s, to give an idea of how long a download takes."""
TRY = "`invoke demo` is the free try"


@dataclass(frozen=True)
class Cost:
    """What is still to come, in GiB and minutes."""

    download: float
    disk: float
    memory: float
    minutes: float
    only_gets: bool
    """Nothing is computed: weights and data are brought here, no more."""
    unknown: bool
    """Weights will be fetched of which nobody has said how large they are."""
    trains: bool

    @property
    def is_large(self) -> bool:
        return self.unknown or self.download >= ASK_GIB or self._is_long

    @property
    def _is_long(self) -> bool:
        return self.trains and self.minutes >= ASK_MINUTES

    def words(self) -> str:
        """One line."""
        words = [] if self.only_gets else [f"about {self.minutes:g} min"]
        words += [] if self.only_gets else [f"{self.memory:g} GiB of memory"]
        words += [f"{self.disk:.3g} GiB of disk"]
        if self.unknown:
            words += ["a download of unknown size (`invoke models --check` tells it)"]
        elif self.download:
            count = self.download * GIB
            time = amounts.duration(count / EXAMPLE_RATE)
            words += [f"up to {amounts.size(count)} to download ({time} at 10 MB/s)"]
        return ", ".join(words) + (f"; {TRY}" if self.is_large else "")


def check(
    screen: Screen,
    plan: Plan,
    workspace: Workspace,
    stages: Sequence[Stage],
    *,
    agreed: bool = False,
    unsized: Collection[str] = (),
) -> None:
    """Say what ``stages`` take and which licences they accept; ask where it is much.

    ``agreed``: the answer was given beforehand. ``unsized``: parts that the recipe's own numbers do
    not speak of. Raises WorkspaceError ``too-little-disk``;
    Interrupted ``declined``; ConfigurationError ``needs-consent`` without a terminal to ask on.
    """
    costs = cost(plan, workspace, stages, unsized)
    free = shutil.disk_usage(workspace.root).free / GIB
    if free < costs.disk:
        raise WorkspaceError(
            "too-little-disk",
            folder=workspace.root, need=f"{costs.disk:.3g}", free=f"{free:.2f}",
        )  # fmt: skip
    screen.say("needs", costs.words())
    for label in (stage.label for stage in stages if stage.network):
        artefact = plan.downloads[label].download
        if artefact and (terms := artefact.licence):
            text = f"{artefact.name}: {terms.name}, {terms.address}: by downloading you accept it"
            screen.say("licence", text)
    if not costs.is_large or agreed:
        return
    answer = screen.ask("Go on? [y/N] ")
    if answer is None:
        raise ConfigurationError("needs-consent", needs=costs.words())
    if not answer:
        raise Interrupted("declined")


def cost(
    plan: Plan, workspace: Workspace, stages: Sequence[Stage], unsized: Collection[str] = ()
) -> Cost:
    """What ``stages`` take; of a download and of the disk only what is not here yet."""
    needs = plan.recipe.needs
    fetched = [plan.downloads[stage.label] for stage in stages if stage.network]
    download = max(0.0, needs.download_gib - _here(plan, workspace)) if fetched else 0.0
    drawn = _drawn(plan, stages)
    gets = all(stage.step in ("fetch", "models", "data") for stage in stages)
    only_gets = gets and bool(fetched or drawn)
    trains = any(stage.step == "train" for stage in stages)
    made = needs.disk_gib - needs.download_gib + (_checkpoints(plan.recipe) if trains else 0.0)
    rest = max(0.0, made - _made(plan, workspace))
    return Cost(
        download=download,
        disk=download + (min(rest, CONVERTED_GIB + drawn) if only_gets else rest),
        memory=needs.memory_gib,
        minutes=needs.minutes,
        only_gets=only_gets,
        unknown=not needs.download_gib and any(each.name in unsized for each in fetched),
        trains=trains,
    )


def _checkpoints(recipe: Recipe) -> float:
    """GiB of all checkpoints that lie on the disk at once; 0 where that is in ``disk_gib``."""
    keeps, iterations = recipe.train.checkpoints, recipe.expected.iterations
    written = keeps.keep if iterations is None else -(-iterations // keeps.every)
    return min(keeps.keep, written) * (recipe.needs.checkpoint_gib or 0.0)


def _drawn(plan: Plan, stages: Sequence[Stage]) -> float:
    """GiB of random weights that ``stages`` will write."""
    llm = plan.recipe.weights.llm
    makes = any(stage.step == "models" for stage in stages)
    return llm.bytes / GIB if makes and isinstance(llm, RandomLLM) else 0.0


def _made(plan: Plan, workspace: Workspace) -> float:
    """GiB of weights and checkpoints that the plan has made already."""
    return sum(_bytes(workspace.root / folder) for folder in (plan.weights, plan.run)) / GIB


def _here(plan: Plan, workspace: Workspace) -> float:
    """GiB of the plan's downloads that are here, whole or in part."""
    folders = [workspace.root / each.folder for each in plan.downloads.values()]
    parts = [folder.with_name(f".{folder.name}.parts") for folder in folders]
    return sum(map(_bytes, {*folders, *parts})) / GIB


def _bytes(folder: Path) -> int:
    found = (Path(top, name) for top, _, names in os.walk(folder) for name in names)
    return sum(path.lstat().st_size for path in found)
