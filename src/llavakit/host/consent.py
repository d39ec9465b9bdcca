"""No surprise: what a command takes is said, and asked for, before gigabytes or an hour begin."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from llavakit.artefact import Artefact, may_be_fetched
from llavakit.errors import ConfigurationError, Interrupted, WorkspaceError
from llavakit.host import amounts, merging, words
from llavakit.host.console import Screen
from llavakit.host.inputs import Input
from llavakit.host.plan import Plan, Stage
from llavakit.locks import LOCK, StepLock
from llavakit.parts import RandomLLM
from llavakit.recipe import Recipe
from llavakit.workspace import Workspace

GIB = 2**30
ASK_GIB = 1.0
ASK_MINUTES = 30.0
PICKLES = (".bin", ".pth", ".pt")
"""Of weights that come as these a copy in a safe form is kept."""
EXAMPLE_RATE = 10e6
"""Bytes/s, to give an idea of how long a download takes."""


@dataclass(frozen=True)
class Cost:
    """What is still to come, in GiB and minutes."""

    download: float
    """Of the parts whose size is known."""
    disk: float
    memory: float
    minutes: float
    only_gets: bool
    """Nothing is trained or asked: weights and data are brought here or merged, no more."""
    unknown: tuple[str, ...]
    """Parts that will be fetched and of which nobody has said how large they are."""
    trains: bool

    @property
    def is_large(self) -> bool:
        return bool(self.unknown) or self.download >= ASK_GIB or self._is_long

    @property
    def _is_long(self) -> bool:
        return self.trains and self.minutes >= ASK_MINUTES

    def words(self, lang: str = "en") -> str:
        """One line; empty where there is nothing to say."""
        say, said = partial(words.text, lang=lang), []
        if not self.only_gets:
            said += [say("needs.minutes", minutes=self.minutes)]
            said += [say("needs.memory", gib=self.memory)]
        if self.disk:
            said += [say("needs.disk", gib=self.disk)]
        if self.download:
            count = self.download * GIB
            time = amounts.duration(count / EXAMPLE_RATE)
            said += [say("needs.download", size=amounts.size(count), time=time)]
        if self.unknown:
            said += [say("needs.unknown", parts=", ".join(self.unknown))]
        free_try = say("semicolon") + say("needs.try") if self.is_large else ""
        return say("comma").join(said) + free_try


def check(
    screen: Screen,
    plan: Plan,
    workspace: Workspace,
    stages: Sequence[Stage],
    *,
    agreed: bool = False,
) -> None:
    """Say what ``stages`` take and which licences they accept; ask where it is much.

    ``agreed``: the answer was given beforehand. Raises WorkspaceError ``too-little-disk``;
    Interrupted ``declined``; ConfigurationError ``needs-consent`` without a terminal to ask on.
    """
    costs, say = cost(plan, workspace, stages), partial(words.text, lang=screen.lang)
    free = shutil.disk_usage(workspace.root).free / GIB
    if free < costs.disk:
        raise WorkspaceError(
            "too-little-disk",
            folder=workspace.root, need=f"{costs.disk:.3g}", free=f"{free:.2f}",
        )  # fmt: skip
    if needs := costs.words(screen.lang):
        screen.say("needs", needs)
    for each in _fetched(plan, stages):
        artefact = _artefact(each)
        if terms := artefact.licence:
            params = {"artefact": artefact.name, "name": terms.name, "address": terms.address}
            screen.say("licence", say("licence", **params))
    _ask(screen, costs, agreed=agreed)


def agree(screen: Screen, costs: Cost, *, agreed: bool = False) -> None:
    """Say what a command takes; ask where it is much, as :func:`check` does."""
    screen.say("needs", costs.words(screen.lang))
    _ask(screen, costs, agreed=agreed)


def _ask(screen: Screen, costs: Cost, *, agreed: bool) -> None:
    if not costs.is_large or agreed:
        return
    answer = screen.ask(words.text("go-on", lang=screen.lang))
    if answer is None:
        raise ConfigurationError("needs-consent", needs=costs.words(screen.lang))
    if not answer:
        raise Interrupted("declined")


def cost(plan: Plan, workspace: Workspace, stages: Sequence[Stage]) -> Cost:
    """What ``stages`` take; of a download, and of a run, only what is not here yet."""
    needs, fetched = plan.recipe.needs, _fetched(plan, stages)
    sizes = [(each, _artefact(each).gib) for each in fetched]
    download = sum(max(0.0, gib - _here(each, workspace) / GIB) for each, gib in sizes if gib)
    steps = {stage.step for stage in stages}
    trains = "train" in steps
    disk = download + _drawn(plan, steps)
    if "merge" in steps:
        disk += merging.gib(plan)
    if trains:
        disk += max(0.0, needs.disk_gib + _checkpoints(plan.recipe) - _made(plan, workspace))
    elif "models" in steps:
        disk += _copies(plan)
    return Cost(
        download=download,
        disk=disk,
        memory=needs.memory_gib,
        minutes=round(needs.minutes * _share(plan.recipe), 1),
        only_gets=steps <= {"fetch", "models", "data", "merge", "check_merged"},
        unknown=tuple(each.name for each, gib in sizes if gib is None),
        trains=trains,
    )


def _fetched(plan: Plan, stages: Sequence[Stage]) -> list[Input]:
    return [plan.downloads[stage.label] for stage in stages if stage.network]


def _checkpoints(recipe: Recipe) -> float:
    """GiB of all checkpoints that lie on the disk at once; 0 where that is in ``disk_gib``."""
    keeps, iterations = recipe.train.checkpoints, recipe.expected.iterations
    written = keeps.keep
    if iterations is not None:
        written = math.ceil(iterations * _share(recipe) / keeps.every)
    return min(keeps.keep, written) * (recipe.needs.checkpoint_gib or 0.0)


def _share(recipe: Recipe) -> float:
    """Of the iterations that its author counted: the data may be repeated more or less often."""
    repeated = recipe.data.repeated
    return recipe.data.repeat / repeated.times if repeated else 1.0


def _drawn(plan: Plan, steps: Set[str]) -> float:
    """GiB of random weights that ``steps`` will write."""
    llm = plan.recipe.weights.llm
    return llm.bytes / GIB if "models" in steps and isinstance(llm, RandomLLM) else 0.0


def _made(plan: Plan, workspace: Workspace) -> float:
    """GiB that the run has on the disk already."""
    return sum(size for _, size in _sizes(workspace.root / plan.run)) / GIB


def _artefact(each: Input) -> Artefact:
    assert each.download is not None  # noqa: S101 - asked of downloads only
    return each.download


def _copies(plan: Plan) -> float:
    """GiB of the safe forms that the models step makes of what comes as pickles."""
    parts = plan.recipe.weights.remote().values()
    pickled = [part for part in parts if any(file.endswith(PICKLES) for file in part.files)]
    return sum(part.gib or 0 for part in pickled)


def _here(each: Input, workspace: Workspace) -> int:
    """Bytes of a download that are here: whole files that are wanted, and beginnings of them.

    Neither what was moved aside nor beginnings of other content, which no fetch goes on with.
    """
    artefact, folder = _artefact(each), workspace.root / each.folder
    known = {**StepLock(folder / LOCK).hashes(), **artefact.sha256}
    hashes = {name.replace("/", "__"): sha256 for name, sha256 in known.items()}
    whole = {
        name.replace("/", "__"): size
        for name, size in _sizes(folder)
        if may_be_fetched(name) and _is_wanted(name, artefact)
    }
    begun: dict[str, int] = {}
    for part, size in _sizes(folder.with_name(f".{folder.name}.parts")):
        name, _, content = part.rpartition(".")
        if "/" not in part and name not in whole and hashes.get(name, content).startswith(content):
            begun[name] = max(size, begun.get(name, 0))
    return sum(whole.values()) + sum(begun.values())


def _is_wanted(name: str, artefact: Artefact) -> bool:
    depth = name.count("/")
    return any(each.count("/") == depth and fnmatchcase(name, each) for each in artefact.files)


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.stat().st_size
