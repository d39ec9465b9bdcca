"""The plan: which steps a recipe takes, where their outputs lie, and which of them are stale.

A stage's key is a hash of everything that goes into it. Its lock on disk holds the key that it was
made with, so that "is there something to do?" is a comparison, before anything runs. A stage whose
outputs are there needs nothing of what came before it.

The kit's own code is not part of a key: mending a message must not repeat an hour of training. The
record keeps its hash instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from llavakit import artefact
from llavakit.engines.base import Mount
from llavakit.host import inputs
from llavakit.host.inputs import Input
from llavakit.locks import StepLock, digest
from llavakit.phrases import Phrase
from llavakit.recipe import Recipe
from llavakit.workspace import Workspace

MERGED = "merged"
"""The merged model's folder in its run; its check is the file of that name beside it."""


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
    network: bool = False


@dataclass(frozen=True)
class Plan:
    recipe: Recipe
    run_id: str
    stages: tuple[Stage, ...]
    weights: PurePosixPath
    pretrained: PurePosixPath
    inputs: tuple[Input, ...] = ()
    """The parts of the weights, then the data."""

    @property
    def downloads(self) -> dict[str, Input]:
        """What comes from elsewhere, by the label of the stage that fetches it."""
        return {f"fetch-{each.name}": each for each in self.inputs if each.download}

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
    reason: Phrase | None = None

    def why(self, lang: str = "en") -> str:
        """The reason in ``lang``; empty where there is none."""
        return self.reason.say(lang) if self.reason else ""


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
    ``no-file``, WeightsError ``no-path`` and ``links-away``.
    """
    parts, source = inputs.of_weights(recipe, kit), inputs.of_data(recipe, kit)
    name = recipe.name
    drawn = any(part.drawn for part in parts.values())
    weights_key = digest(
        [
            "models",
            {part.name: part.identity for part in parts.values()},
            recipe.seed if drawn else None,
            source.identity if parts["llm"].drawn else None,
            lock_sha256,
        ]
    )
    data_key = digest(["data", source.identity, recipe.data.repeat])
    pretrained_key = digest(["pretrained", weights_key])
    train = recipe.train
    view = [recipe.prompt_template, train.visual_select_layer, train.pad_to_square,
            train.llm_dtype, train.llm_quantization]  # fmt: skip
    asked = [recipe.ask.model_dump(mode="json"), source.identity, view]
    before_key = digest(["before", pretrained_key, asked])
    train_key = digest(
        [
            "train",
            weights_key,
            data_key,
            _hyperparameters(recipe),
            recipe.prompt_template,
            recipe.seed,
            lock_sha256,
        ]
    )
    tuned_key = digest(["tuned", train_key])
    after_key = digest(["after", tuned_key, asked])
    compare_key = digest(["compare", before_key, after_key])
    terms = getattr(recipe.weights.llm, "licence", None)  # they stand in the merged model's README
    merge_key = digest(["merge", tuned_key, terms and terms.model_dump(mode="json")])
    merged_key = digest(["check-merged", merge_key, asked])

    # Not by the recipe's name: those that extend one another share the weights.
    weights = PurePosixPath("models", f"{'drawn' if drawn else 'weights'}-{weights_key[:8]}")
    data = PurePosixPath("data", f"{name}-{data_key[:8]}")
    pretrained = PurePosixPath("cache", f"pretrained-{pretrained_key[:8]}")
    before = PurePosixPath("cache", f"answers-{before_key[:8]}.json")
    run_id = pick_run(f"{name}-{train_key[:8]}", train_key)
    run = PurePosixPath("runs", run_id)
    after, comparison = run / "answers.json", run / "comparison.json"
    merged = run / MERGED

    def stage(
        label: str, key: str, lock: PurePosixPath, *arguments: object, **more: object
    ) -> Stage:
        step = "check_merged" if label == "check-merged" else label.partition("-")[0]
        argv = ("-m", f"llavakit.steps.{step}", "--recipe", run / "recipe.json", "--run", run,
                "--key", key, *arguments)  # fmt: skip
        return Stage(label, step, key, tuple(map(str, argv)), lock, **more)  # type: ignore[arg-type]

    ask = ("--weights", weights, "--data", data)
    reads = weights_mounts(parts.values())
    read_by_models = (*parts.values(), *([source] if parts["llm"].drawn else []))
    stages = (
        *(_fetch(stage, part) for part in (*parts.values(), source) if part.download),
        stage("models", weights_key, weights / "lock.json", "--out", weights,
              *_places(parts, source), needs=_fetched(read_by_models),
              mounts=_mounts(read_by_models), protects=("data",)),
        stage("data", data_key, data / "lock.json", "--source", source.place, "--out", data,
              needs=_fetched([source]), mounts=_mounts([source]), protects=("models",)),
        stage("convert-pretrained", pretrained_key, pretrained / "lock.json",
              "--weights", weights, "--out", pretrained, needs=("models",), mounts=reads),
        stage("ask-before", before_key, before.with_suffix(".lock.json"), *ask,
              "--tuned", pretrained, "--out", before,
              needs=("models", "data", "convert-pretrained"), mounts=reads, uses_gpu=True),
        stage("train", train_key, run / "train" / "lock.json", *ask,
              needs=("models", "data"), mounts=reads, uses_gpu=True),
        stage("convert", tuned_key, run / "tuned" / "lock.json", *ask, "--trained", run / "train",
              "--out", run / "tuned", needs=("models", "data", "train"), mounts=reads,
              uses_gpu=True),
        stage("ask-after", after_key, after.with_suffix(".lock.json"), *ask,
              "--tuned", run / "tuned", "--out", after,
              needs=("models", "data", "convert"), mounts=reads, uses_gpu=True),
        stage("compare", compare_key, comparison.with_suffix(".lock.json"),
              "--before", before, "--after", after, "--out", comparison,
              needs=("ask-before", "ask-after")),
        stage("merge", merge_key, merged / "lock.json", "--weights", weights,
              "--tuned", run / "tuned", "--out", merged,
              needs=("models", "convert"), mounts=reads, uses_gpu=True),
        stage("check-merged", merged_key, merged.with_suffix(".lock.json"), *ask,
              "--tuned", run / "tuned", "--merged", merged, "--out", merged.with_suffix(".json"),
              needs=("models", "data", "convert", "merge"), mounts=reads, uses_gpu=True),
    )  # fmt: skip
    return Plan(recipe, run_id, stages, weights, pretrained, (*parts.values(), source))


def _hyperparameters(recipe: Recipe) -> dict[str, Any]:
    """Without a memory profile and with one rank they are what they were before there were any."""
    body = recipe.train.model_dump(mode="json")
    if body["memory"] is None:
        del body["memory"]
    if body["ranks"] == 1:
        del body["ranks"]
    return body


def weights_mounts(inputs: Iterable[Input]) -> tuple[Mount, ...]:
    """What every stage that reads the weights needs: models/ only links to what the user has.

    Not the projector, which the models step reads and keeps.
    """
    return _mounts(each for each in inputs if each.name in ("llm", "vision"))


def _fetch(stage: Callable[..., Stage], part: Input) -> Stage:
    assert part.download is not None  # noqa: S101 - the caller's choice
    key = digest(["fetch", artefact.identity(part.download)])
    other = "models" if part.name == "data" else "data"
    lock, words = part.folder / "lock.json", ("--part", part.name, "--out", part.folder)
    return stage(f"fetch-{part.name}", key, lock, *words, protects=(other,), network=True)


def _places(parts: Mapping[str, Input], source: Input) -> list[object]:
    """Where the models step finds what it does not draw, and the text for a drawn tokenizer."""
    words: list[object] = ["--text", source.place] if parts["llm"].drawn else []
    for name in ("llm", "vision", "projector"):
        words += [] if parts[name].drawn else [f"--{name}", parts[name].place]
    return words


def _mounts(parts: Iterable[Input]) -> tuple[Mount, ...]:
    return tuple(part.mount for part in parts if part.mount)


def _fetched(parts: Iterable[Input]) -> tuple[str, ...]:
    return tuple(f"fetch-{part.name}" for part in parts if part.download)


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


def _decide(stage: Stage, reason: Phrase | None, wanted: set[str], targets: set[str]) -> Todo:
    if stage.label in wanted:
        return Todo(stage, "run", reason)
    if reason is None:
        return Todo(stage, "up to date")
    return Todo(stage, "not needed", reason)
