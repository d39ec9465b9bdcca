"""The plan: which steps a recipe takes, where their outputs lie, and which of them are stale.

A stage's key is a hash of everything that goes into it. Its lock on disk holds the key that it was
made with, so that "is there something to do?" is a comparison, before anything runs. A stage whose
outputs are there needs nothing of what came before it.

The kit's own code is not part of a key: mending a message must not repeat an hour of training. The
record keeps its hash instead.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from llavakit.engines.base import Mount
from llavakit.errors import DataError
from llavakit.locks import StepLock, digest, file_sha256
from llavakit.recipe import Recipe
from llavakit.workspace import INPUTS, Workspace


@dataclass(frozen=True)
class Stage:
    """One step in the plan. Paths are relative to the workspace."""

    label: str
    """Unique in the plan: the step's name, or more where a step comes twice."""
    step: str
    key: str
    argv: tuple[str, ...]
    lock: PurePosixPath
    needs: tuple[str, ...] = ()
    """Labels of the stages whose outputs this one reads."""
    mounts: tuple[Mount, ...] = ()
    uses_gpu: bool = False
    protects: tuple[str, ...] = ("models", "data")
    """Folders of the workspace that the job can only read."""


@dataclass(frozen=True)
class Plan:
    recipe: Recipe
    run_id: str
    stages: tuple[Stage, ...]
    weights: PurePosixPath
    pretrained: PurePosixPath

    @property
    def run(self) -> PurePosixPath:
        return PurePosixPath("runs", self.run_id)

    @property
    def tuned(self) -> PurePosixPath:
        return self.run / "tuned"

    def stage(self, label: str) -> Stage:
        return next(stage for stage in self.stages if stage.label == label)


@dataclass(frozen=True)
class Todo:
    """A stage and what is to be done about it."""

    stage: Stage
    action: str
    """``run``, ``up to date`` or ``not needed``."""
    reason: str = ""


def make(
    recipe: Recipe,
    *,
    kit: Path,
    lock_sha256: str,
    pick_run: Callable[[str, str], str] = lambda name, key: name,
) -> Plan:
    """Plan ``recipe``.

    ``lock_sha256`` identifies the environment; ``pick_run`` chooses among the runs of one recipe,
    given their common name and the key of their training. Raises DataError ``no-folder`` and
    ``no-file``.
    """
    source, source_hash = _data_source(recipe, kit)
    name, seed = recipe.name, recipe.seed
    weights_key = digest(
        ["models", recipe.weights.model_dump(mode="json"), seed, source_hash, lock_sha256]
    )
    data_key = digest(["data", source_hash, recipe.data.repeat])
    pretrained_key = digest(["pretrained", weights_key])
    train = recipe.train
    view = [recipe.prompt_template, train.visual_select_layer, train.pad_to_square,
            train.llm_dtype, train.llm_quantization]  # fmt: skip
    asked = [recipe.ask.model_dump(mode="json"), source_hash, view]
    before_key = digest(["before", pretrained_key, asked])
    train_key = digest(
        [
            "train",
            weights_key,
            data_key,
            train.model_dump(mode="json"),
            recipe.prompt_template,
            seed,
            lock_sha256,
        ]
    )
    tuned_key = digest(["tuned", train_key])
    after_key = digest(["after", tuned_key, asked])
    compare_key = digest(["compare", before_key, after_key])

    weights = PurePosixPath("models", f"{name}-{weights_key[:8]}")
    data = PurePosixPath("data", f"{name}-{data_key[:8]}")
    pretrained = PurePosixPath("cache", f"pretrained-{pretrained_key[:8]}")
    before = PurePosixPath("cache", f"answers-{before_key[:8]}.json")
    run_id = pick_run(f"{name}-{train_key[:8]}", train_key)
    run = PurePosixPath("runs", run_id)
    after, comparison = run / "answers.json", run / "comparison.json"
    # By its hash: two runs with different data may be under way in one workspace.
    inputs = f"{INPUTS}/data-{source_hash[:8]}"
    read_data = (Mount(source, inputs),)

    def stage(
        label: str, key: str, lock: PurePosixPath, *arguments: object, **more: object
    ) -> Stage:
        step = label.partition("-")[0]
        argv = ("-m", f"llavakit.steps.{step}", "--recipe", run / "recipe.json", "--run", run,
                "--key", key, *arguments)  # fmt: skip
        return Stage(label, step, key, tuple(map(str, argv)), lock, **more)  # type: ignore[arg-type]

    ask = ("--weights", weights, "--data", data)
    stages = (
        stage("models", weights_key, weights / "lock.json", "--out", weights, "--text", inputs,
              mounts=read_data, protects=("data",)),
        stage("data", data_key, data / "lock.json", "--source", inputs, "--out", data,
              mounts=read_data, protects=("models",)),
        stage("convert-pretrained", pretrained_key, pretrained / "lock.json",
              "--weights", weights, "--out", pretrained, needs=("models",)),
        stage("ask-before", before_key, before.with_suffix(".lock.json"), *ask,
              "--tuned", pretrained, "--out", before,
              needs=("models", "data", "convert-pretrained"), uses_gpu=True),
        stage("train", train_key, run / "train" / "lock.json", *ask,
              needs=("models", "data"), uses_gpu=True),
        stage("convert", tuned_key, run / "tuned" / "lock.json", *ask, "--trained", run / "train",
              "--out", run / "tuned", needs=("models", "data", "train"), uses_gpu=True),
        stage("ask-after", after_key, after.with_suffix(".lock.json"), *ask,
              "--tuned", run / "tuned", "--out", after,
              needs=("models", "data", "convert"), uses_gpu=True),
        stage("compare", compare_key, comparison.with_suffix(".lock.json"),
              "--before", before, "--after", after, "--out", comparison,
              needs=("ask-before", "ask-after")),
    )  # fmt: skip
    return Plan(recipe, run_id, stages, weights, pretrained)


def todo(plan: Plan, workspace: Workspace, targets: Iterable[str]) -> list[Todo]:
    """What is to be done so that ``targets`` (labels) are up to date, in the plan's order."""
    states = {
        stage.label: StepLock(workspace.root / stage.lock).check(stage.key) for stage in plan.stages
    }
    wanted: set[str] = set()
    pending = list(targets)
    targets = set(pending)
    while pending:
        label = pending.pop()
        if label not in wanted and not states[label].fresh:
            wanted.add(label)
            pending.extend(plan.stage(label).needs)
    return [_decide(stage, states[stage.label].reason, wanted, targets) for stage in plan.stages]


def _decide(stage: Stage, reason: str, wanted: set[str], targets: set[str]) -> Todo:
    if stage.label in wanted:
        return Todo(stage, "run", reason)
    if not reason:
        return Todo(stage, "up to date")
    return Todo(stage, "not needed", reason)


def _data_source(recipe: Recipe, kit: Path) -> tuple[Path, str]:
    folder = Path(recipe.data.folder).expanduser()
    folder = folder if folder.is_absolute() else kit / folder
    if not folder.is_dir():
        raise DataError("no-folder", folder=folder)
    file = folder / recipe.data.file
    if not file.is_file():
        raise DataError("no-file", file=recipe.data.file, folder=folder)
    pictures = {name: folder / name for name in _pictures(file)}
    hashes = {name: file_sha256(path) for name, path in pictures.items() if path.is_file()}
    return folder, digest([recipe.data.file, file_sha256(file), hashes])


def _pictures(file: Path) -> list[str]:
    """The pictures that ``file`` names; whatever is wrong with it, the data step will say so."""
    try:
        items = json.loads(file.read_text(encoding="utf-8"))
        return sorted({item["image"] for item in items if isinstance(item.get("image"), str)})
    except (ValueError, OSError, AttributeError, TypeError, KeyError):
        return []
