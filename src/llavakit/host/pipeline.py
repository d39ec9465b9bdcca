"""Carry out a plan: hand each stale stage to an engine, follow it, believe only its artefacts."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from llavakit import locks, record, workspace
from llavakit.engines.base import Engine, Job, Limits, Mount, Outcome
from llavakit.errors import Interrupted, KitError, StepError, WorkspaceError
from llavakit.events import EventReader
from llavakit.host import environment, results
from llavakit.host.console import Screen
from llavakit.host.follow import Output, follow, follow_stranger
from llavakit.host.plan import Plan, Stage, Todo, todo
from llavakit.host.settings import Settings
from llavakit.locks import StepLock
from llavakit.workspace import Workspace

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}
SHM_BYTES = 8 << 30
"""Shared memory of a job on a GPU: data loaders and NCCL pass tensors through it."""


@dataclass
class Pipeline:
    """One recipe in one workspace. ``open_engine`` is called once, and only if something runs."""

    settings: Settings
    screen: Screen
    plan: Plan
    workspace: Workspace
    open_engine: Callable[[], Engine]
    _engine: Engine | None = None

    @property
    def run_dir(self) -> Path:
        return self.workspace.root / self.plan.run

    def bring_up_to_date(self, targets: Iterable[str]) -> list[Todo]:
        """Run what is stale so that ``targets`` are up to date; returns what was to be done.

        Raises the KitError of the first stage that failed; Interrupted after Ctrl-C.
        """
        targets = list(targets)
        with self.workspace.lock(f"invoke {targets[-1]}", self._say_waiting):
            todos = todo(self.plan, self.workspace, targets)
            self.screen.say("run", f"{self.plan.run_id} in {self.run_dir}")
            if any(item.action == "run" for item in todos):
                self._prepare()
            for item in todos:
                if item.action == "run":
                    self._bring(item)
                elif item.stage.label in targets:
                    self.screen.say(item.stage.label, item.action)
        return todos

    def engine(self) -> Engine:
        """The engine, opened at the first call (this may make the environment)."""
        if self._engine is None:
            self._engine = self.open_engine()
            self._engine.sweep(job_labels(self.workspace))
        return self._engine

    def job(self, stage: Stage) -> Job:
        """The job of a stage, for any engine."""
        protected = tuple(Mount(self.workspace.root / folder, folder) for folder in stage.protects)
        on_gpu = stage.uses_gpu and environment.gpus(self.settings) != "none"
        return Job(
            name=stage.label,
            argv=stage.argv,
            workspace=self.workspace.root,
            env=OFFLINE,
            mounts=(*stage.mounts, *protected),
            gpus=environment.gpus(self.settings) if stage.uses_gpu else "none",
            limits=Limits(shm_bytes=SHM_BYTES if on_gpu else None),
            labels={**job_labels(self.workspace), "run": self.plan.run_id, "stage": stage.label},
        )

    def _prepare(self) -> None:
        needs = self.plan.recipe.needs
        free = shutil.disk_usage(self.workspace.root).free / 2**30
        if free < needs.disk_gib:
            raise WorkspaceError(
                "too-little-disk",
                folder=self.workspace.root, need=needs.disk_gib, free=f"{free:.2f}",
            )  # fmt: skip
        self.screen.say(
            "needs",
            f"about {needs.minutes:g} min, {needs.memory_gib:g} GiB of memory,"
            f" {needs.disk_gib:g} GiB of disk",
        )
        with disk_errors(self.run_dir):
            self.run_dir.mkdir(parents=True, exist_ok=True)
            locks.write_json(self.run_dir / "recipe.json", self.plan.recipe.resolved())

    def _bring(self, item: Todo) -> None:
        while True:
            if workspace.is_busy(self.run_dir):
                self._wait_for_stranger(item.stage)
                self.engine().sweep(job_labels(self.workspace))
                if self._check(item.stage):
                    self.screen.say(item.stage.label, "done by the other process")
                    return
            try:
                return self._run(item)
            except WorkspaceError as error:
                if error.id != "workspace.busy":  # a stranger began while this job was starting
                    raise

    def _wait_for_stranger(self, stage: Stage) -> None:
        self.screen.say(stage.label, "this run is being worked on by another process; following it")
        with self.screen.progress(stage.label) as progress:
            follow_stranger(
                lambda: workspace.is_busy(self.run_dir), EventReader(self.run_dir), progress.show
            )

    def _run(self, item: Todo) -> None:
        stage = item.stage
        engine = self.engine()
        self.screen.say(stage.label, item.reason)
        log = self.run_dir / "logs" / f"{stage.label}.log"
        job = self.job(stage)
        started, clock = record.now(), time.monotonic()
        events = EventReader(self.run_dir)
        running = engine.start(job)
        try:
            with self.screen.progress(stage.label) as progress:
                outcome, output = follow(running, log, events, progress.show)
        except KeyboardInterrupt:
            raise Interrupted("interrupted", step=stage.label) from None
        seconds = time.monotonic() - clock
        error = self._error(stage, outcome, output, log)
        with disk_errors(self.run_dir):
            self._keep_record(engine, stage, started, seconds, outcome, error)
        if error is not None:
            raise error
        self.screen.say(stage.label, f"done in {seconds:.1f} s")

    def _error(self, stage: Stage, outcome: Outcome, output: Output, log: Path) -> KitError | None:
        tail = "\n".join(output.tail)
        shown = _short(log)
        if output.error is not None:
            return _with_log(output.error, tail, shown)
        if outcome.out_of_memory:
            return StepError("out-of-memory", step=stage.label, why=outcome.detail)
        if outcome.exit_code not in (0, None):
            how = outcome.detail or f"exit status {outcome.exit_code}"
            return StepError("failed", step=stage.label, how=how, log=shown, why=tail)
        state = StepLock(self.workspace.root / stage.lock).check(stage.key)
        if not state.fresh:
            missing = f"its result is {state.reason}"
            return StepError("no-result", step=stage.label, missing=missing, log=shown, why=tail)
        return None

    def _check(self, stage: Stage) -> bool:
        return StepLock(self.workspace.root / stage.lock).check(stage.key).fresh

    def _keep_record(
        self,
        engine: Engine,
        stage: Stage,
        started: str,
        seconds: float,
        outcome: Outcome,
        error: KitError | None,
    ) -> None:
        kept = record.Record(self.run_dir)
        kept.identify(
            recipe=self.plan.recipe.resolved(),
            seed=self.plan.recipe.seed,
            lock=environment.lock_sha256(),
            steps=environment.source_sha256(),
            world_size=1,
        )
        kept.stage(
            label=stage.label,
            key=stage.key,
            engine=engine.name,
            guarantees=sorted(guarantee.value for guarantee in engine.guarantees),
            described=engine.describe(),
            kit=environment.commit(),
            argv=list(stage.argv),
            started=started,
            seconds=round(seconds, 2),
            exit_code=outcome.exit_code,
            error=error.id if error else None,
        )
        kept.result(**results.collect(self.plan, self.workspace))
        kept.save()

    def _say_waiting(self, owner: str) -> None:
        self.screen.say("workspace", f"is in use by {owner}; waiting for it to end")


def job_labels(place: Workspace) -> dict[str, str]:
    """By these labels an engine finds the jobs of a workspace again."""
    return {"workspace": locks.digest(str(place.root))[:16]}


class disk_errors:  # noqa: N801 - reads as the statement that it is
    """Turn the host's own OSErrors while writing under ``folder`` into WorkspaceErrors."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        return

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError):
            name = "disk-full" if error.errno == 28 else "not-writable"
            raise WorkspaceError(name, folder=self._folder, why=str(error)) from None


def _with_log(error: KitError, tail: str, log: str) -> KitError:
    """A step names its log by its own name; the host knows where it wrote it."""
    if "log" in error.params:
        error.params["log"] = log
        error.why = error.why or tail
    return error


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
