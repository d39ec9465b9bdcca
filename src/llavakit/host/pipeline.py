"""Carry out a plan: hand each stale stage to an engine, follow it, believe only its artefacts."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llavakit import locks, workspace
from llavakit.engines.base import Engine, Job, Limits, Mount, Outcome, Running
from llavakit.errors import Interrupted, KitError, StepError, WorkspaceError
from llavakit.events import EventReader
from llavakit.host import (
    adopting,
    consent,
    environment,
    network,
    preflight,
    ranks,
    recording,
    results,
)
from llavakit.host.console import Screen
from llavakit.host.follow import Output, follow, follow_stranger
from llavakit.host.plan import Plan, Stage, Todo, todo
from llavakit.host.settings import Settings
from llavakit.locks import StepLock
from llavakit.phrases import phrase
from llavakit.workspace import Workspace

MEMORY_SHARE = 0.9
"""Of the host's memory, for one job: a step that wants more is stopped, not its host."""
ENDING_SECONDS = 10.0
ASKS = {"ask", "chat"}
"""The steps that load the whole model to let it answer."""
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
    agreed: bool = False
    """The user agreed beforehand (--yes) to a large download or a long training."""
    _engine: Engine | None = None

    @property
    def run_dir(self) -> Path:
        return self.workspace.root / self.plan.run

    def bring_up_to_date(self, targets: Iterable[str]) -> list[Todo]:
        """Run what is stale so that ``targets`` are up to date; returns what was to be done.

        Raises the KitError of the first stage that failed; Interrupted after Ctrl-C.
        """
        targets = list(targets)
        with self.workspace.lock(f"invoke {targets[-1]}", self.say_waiting):
            todos = todo(self.plan, self.workspace, targets)
            self.screen.tell("run", "run.where", run=self.plan.run_id, folder=self.run_dir)
            to_run = [item.stage for item in todos if item.action == "run"]
            if to_run:
                self._check_host(to_run)
            self._write_recipe()
            self._adopt([item.stage for item in todos if item.action == "up to date"])
            for item in todos:
                if item.action == "run":
                    self._bring(item)
                elif item.stage.label in targets:
                    self.screen.tell(item.stage.label, f"action.{item.action}")
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
        gpus = self.gpus() if stage.uses_gpu else "none"
        access = network.access(os.environ) if stage.network else network.without()
        job = Job(
            name=stage.label,
            argv=stage.argv,
            workspace=self.workspace.root,
            env=access.env,
            mounts=(*stage.mounts, *access.mounts, *protected),
            gpus=gpus,
            network=stage.network,
            limits=Limits(
                memory_bytes=int(environment.memory_bytes() * MEMORY_SHARE),
                shm_bytes=None if gpus == "none" else SHM_BYTES,
            ),
            labels={**job_labels(self.workspace), "run": self.plan.run_id, "stage": stage.label},
        )
        return ranks.job(job, stage, self.plan.recipe)

    def gpus(self) -> str:
        """``all``, ``none`` or indices; ``auto`` is decided by the host and its engine."""
        if self.settings.gpus != "auto":
            return self.settings.gpus
        if not environment.has_nvidia_gpu():
            return "none"
        return "all" if self._engine is None or self._engine.can_use_gpus() else "none"

    def _check_host(self, stages: list[Stage]) -> None:
        """Refuse what cannot work here before anything is made; say what it takes."""
        self.check_gpu(stages)
        consent.check(self.screen, self.plan, self.workspace, stages, agreed=self.agreed)

    def check_gpu(self, stages: Iterable[Stage]) -> None:
        """Refuse a GPU on which ``stages`` cannot run; see :func:`preflight.check`."""
        recipe, steps = self.plan.recipe, {stage.step for stage in stages if stage.uses_gpu}
        if preflight.needs_gpu(recipe) and steps:
            preflight.check(
                self.screen, self.settings, recipe, self.gpus(),
                trains="train" in steps, asks=bool(steps & ASKS), merges="check_merged" in steps,
                busy=workspace.is_busy(self.run_dir),
            )  # fmt: skip

    def _write_recipe(self) -> None:
        """Every step reads the resolved recipe from the run's folder."""
        path, resolved = self.run_dir / "recipe.json", self.plan.recipe.resolved()
        with disk_errors(self.run_dir):
            if results.read_json(path) != resolved:
                self.run_dir.mkdir(parents=True, exist_ok=True)
                locks.write_json(path, resolved)

    def _adopt(self, stages: list[Stage]) -> None:
        """What a cluster's job made of this run is in no record yet."""
        with disk_errors(self.run_dir):
            adopted = adopting.adopt(self.plan, self.workspace, stages)
        if adopted:
            self.screen.tell("run", "run.adopted", stages=", ".join(adopted))

    def _bring(self, item: Todo) -> None:
        while True:
            if workspace.is_busy(self.run_dir) and self._follow_stranger(item.stage):
                return None
            try:
                return self._run(item)
            except WorkspaceError as error:
                # A stranger began on this run while the job was starting; an output that another
                # run is making is for the user to wait for.
                if error.id != "workspace.busy" or error.params["folder"] != str(self.plan.run):
                    raise

    def _follow_stranger(self, stage: Stage) -> bool:
        """Follow the process that works on this run to its end; whether that did ``stage``."""
        self.screen.tell(stage.label, "run.followed")
        clock = recording.Clock()
        try:
            with self.screen.progress(stage.label) as progress:
                follow_stranger(
                    lambda: workspace.is_busy(self.run_dir),
                    EventReader(self.run_dir),
                    progress.show,
                )
        except KeyboardInterrupt:
            raise Interrupted("left-running", step=stage.label) from None
        self._sweep_what_ends()
        if not self._check(stage):
            return False
        with disk_errors(self.run_dir):
            recording.keep(self.plan, self.workspace, recording.Attempt(stage, clock))
        self.screen.tell(stage.label, "run.followed-done")
        return True

    def _sweep_what_ends(self) -> None:
        """Sweep, once a job that let go of its run has ended: it still takes a moment then."""
        engine, labels = self.engine(), job_labels(self.workspace)
        deadline = time.monotonic() + ENDING_SECONDS
        while engine.find(labels) and time.monotonic() < deadline:
            time.sleep(0.1)
        engine.sweep(labels)

    def _run(self, item: Todo) -> None:
        stage, engine = item.stage, self.engine()
        self.screen.say(stage.label, item.why(self.screen.lang))
        log = self.run_dir / "logs" / f"{stage.label}.log"
        job, clock, events = self.job(stage), recording.Clock(), EventReader(self.run_dir)
        access = engine.describe().get("gpus", "none")
        gpus = preflight.announce(self.screen, stage.label, job.gpus, access)
        if stage.step == "train":
            ranks.tell(self.screen, self.plan, self.workspace, len(gpus))
        attempt = recording.Attempt(stage, clock, engine, job, gpus)
        with disk_errors(self.run_dir):
            recording.begin(self.plan, self.workspace, attempt)
        running: Running | None = None
        outcome: Outcome | None = None
        error: KitError | None
        try:
            running = engine.start(job)
            with self.screen.progress(stage.label) as progress:
                outcome, output = follow(running, log, events, progress.show)
            error = self._error(stage, outcome, output, log)
        except KeyboardInterrupt:
            if running is not None:
                running.stop()
            error = Interrupted("interrupted", step=stage.label)
        except KitError as refused:
            error = refused
        with disk_errors(self.run_dir):
            recording.keep(self.plan, self.workspace, attempt, outcome=outcome, error=error)
        if error is not None:
            raise error
        self.screen.tell(stage.label, "run.done", seconds=clock.seconds)

    def _error(self, stage: Stage, outcome: Outcome, output: Output, log: Path) -> KitError | None:
        """Why the stage failed; None when its artefacts prove that it did not."""
        state = StepLock(self.workspace.root / stage.lock).check(stage.key)
        if state.fresh:
            return None
        tail, shown = "\n".join(output.tail), _short(log)
        if output.error is not None:
            return _with_log(output.error, tail, shown)
        if outcome.out_of_memory:
            return StepError("out-of-memory", step=stage.label, why=outcome.detail)
        if outcome.exit_code not in (0, None):
            how = outcome.detail or phrase("ended.status", status=outcome.exit_code)
            return StepError("failed", step=stage.label, how=how, log=shown, why=tail)
        missing = phrase("stale.result", reason=state.reason)
        return StepError("no-result", step=stage.label, missing=missing, log=shown, why=tail)

    def _check(self, stage: Stage) -> bool:
        return StepLock(self.workspace.root / stage.lock).check(stage.key).fresh

    def say_waiting(self, owner: str) -> None:
        """Tell whom this command waits for."""
        waiting(self.screen)(owner)


def waiting(screen: Screen) -> Callable[[str], None]:
    """What tells on ``screen`` whom a command waits for."""
    return lambda owner: screen.tell("workspace", "run.waiting", owner=owner)


def job_labels(place: Workspace) -> dict[str, str]:
    """By these labels an engine finds the jobs of a workspace again."""
    return {"workspace": locks.digest(str(place.root))[:16]}


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn the host's own OSErrors while it writes under ``folder`` into WorkspaceErrors."""
    try:
        yield
    except OSError as error:
        raise system_error(error, folder) from None


def system_error(error: OSError, folder: Path) -> WorkspaceError:
    """What the operating system refused, as an error of ours."""
    place = error.filename or folder
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return WorkspaceError("disk-full", folder=place, why=str(error))
    if error.errno == errno.EIO:
        return WorkspaceError("disk-broken", folder=place, why=str(error))
    return WorkspaceError("refused", path=place, why=str(error))


def _with_log(error: KitError, tail: str, log: str) -> KitError:
    """A step names its log by its own name; the host knows where it wrote it."""
    if "log" in error.params:
        error.params["log"] = log
        error.detail = error.detail or tail
    return error


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
