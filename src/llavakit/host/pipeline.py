"""Carry out a plan: hand each stale stage to an engine, follow it, believe only its artefacts."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from llavakit import locks, workspace
from llavakit.engines.base import Engine, Job, Limits, Mount
from llavakit.errors import KitError
from llavakit.host import (
    adopting,
    consent,
    driver,
    environment,
    following,
    jobs,
    network,
    notice,
    preflight,
    queueing,
    ranks,
    results,
    stages,
)
from llavakit.host.console import Screen
from llavakit.host.disk import disk_errors
from llavakit.host.driver import Driver, Seat
from llavakit.host.nodes import Nodes
from llavakit.host.plan import Plan, Stage, Todo, todo
from llavakit.host.settings import Settings
from llavakit.workspace import LOCK_FILE, Workspace

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
    order: dict[str, Any] | None = None
    """What another process needs to go on with this command; see :func:`driver.order`."""
    detached: bool = False
    """Nobody waits for this process: who attaches reads what it says from a file."""
    nodes: Nodes | None = None
    """Where several hosts train together: which of them this one is."""
    _engine: Engine | None = None
    _swept: bool = False
    _seat: Seat | None = None

    @property
    def run_dir(self) -> Path:
        return self.workspace.root / self.plan.run

    def bring_up_to_date(self, targets: Iterable[str]) -> list[Todo]:
        """Run what is stale so that ``targets`` are up to date; returns what was to be done.

        Where another process drives the run already, it is followed to its end first. Raises the
        KitError of the first stage that failed; Interrupted after Ctrl-C.
        """
        targets = list(targets)
        lock = self.nodes.lock if self.nodes else LOCK_FILE
        owner = f"invoke {targets[-1]}"
        with self._driving(targets[-1]), self.workspace.lock(owner, self._wait, lock):
            stages.settle(self)
            todos = todo(self.plan, self.workspace, targets)
            self.screen.tell("run", "run.where", run=self.plan.run_id, folder=self.run_dir)
            if to_run := [item.stage for item in todos if item.action == "run"]:
                self.check_host(to_run)
            self._write_recipe()
            self._adopt([item.stage for item in todos if item.action == "up to date"])
            for item in todos:
                if item.action == "run":
                    self.tell(state="running", waits_for="")
                    stages.bring(self, item)
                elif item.stage.label in targets:
                    self.screen.tell(item.stage.label, f"action.{item.action}")
        return todos

    @contextlib.contextmanager
    def _driving(self, target: str) -> Iterator[None]:
        """Be the run's driver, after following whoever is; see :mod:`driver`."""
        self.workspace.create()
        while (lock := self._claim()) is None:
            following.until_its_end(self.run_dir, self.screen)
        task = self.order["task"] if self.order else target
        self._seat = Seat(self.run_dir, driver.after(self.run_dir, task, self.order))
        if self.detached:
            self.tell(detached=True, log_from=os.fstat(1).st_size)
        try:
            yield
        except BaseException as error:
            kit_error = error if isinstance(error, KitError) else None
            self._seat.end(kit_error, interrupted=isinstance(error, KeyboardInterrupt))
            raise
        else:
            self._seat.end(None)
        finally:
            seat, self._seat = self._seat, None
            driver.tidy(self.run_dir)
            lock.release()
            if self.order and seat.told:
                notice.send(self.settings.notify, self.run_dir.name, seat.driver, self.screen)

    def _claim(self) -> FileLock | None:
        with disk_errors(self.run_dir):
            return driver.claim(self.run_dir)

    @property
    def driver(self) -> Driver | None:
        """What it has told so far."""
        return self._seat.driver if self._seat else None

    def tell(self, **changes: Any) -> None:
        """Tell whoever looks at the run what is being done; see :class:`driver.Driver`."""
        if self._seat is not None:
            self._seat.tell(**changes)

    def engine(self, *, sweeps: bool = True) -> Engine:
        """The engine, opened at the first call (this may make the environment).

        ``sweeps``: what jobs left that ended after their command was killed is removed before.
        """
        if self._engine is None:
            self._engine = self.open_engine()
        if sweeps and not self._swept:
            self._swept = True
            self.sweep()
        return self._engine

    def sweep(self) -> None:
        """Remove what jobs left that ended after their command was killed."""
        self.engine(sweeps=False).sweep(jobs.labels(self.workspace))

    def sweep_what_ends(self) -> None:
        """Sweep, once a job that let go of its run has ended: it still takes a moment then."""
        engine, labels = self.engine(), jobs.labels(self.workspace)
        deadline = time.monotonic() + ENDING_SECONDS
        while engine.find(labels) and time.monotonic() < deadline:
            time.sleep(0.1)
        engine.sweep(labels)

    def labels(self, stage: Stage) -> dict[str, str]:
        """By these labels an engine finds the stage's job again."""
        own = {"run": self.plan.run_id, "stage": stage.label, "key": stage.key}
        return {**jobs.labels(self.workspace), **own}

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
            labels=self.labels(stage),
        )
        job = ranks.job(job, stage, self.plan.recipe)
        return self.nodes.job(job, stage) if self.nodes else job

    def gpus(self) -> str:
        """``all``, ``none`` or indices; ``auto`` is decided by the host and its engine."""
        if self.settings.gpus != "auto":
            return self.settings.gpus
        if not environment.has_nvidia_gpu():
            return "none"
        return "all" if self._engine is None or self._engine.can_use_gpus() else "none"

    def check_host(self, wanted: list[Stage]) -> None:
        """Refuse what cannot work here before anything is made; say what it takes."""
        self.check_gpu(wanted)
        consent.check(self.screen, self.plan, self.workspace, wanted, agreed=self.agreed)

    def check_gpu(self, wanted: Iterable[Stage], *, has_turn: bool = False) -> None:
        """Refuse a GPU on which ``wanted`` cannot run; see :func:`preflight.check`.

        Its free memory is looked at when no other run has the turn on it, at the latest when this
        one ``has_turn``.
        """
        recipe, steps = self.plan.recipe, {stage.step for stage in wanted if stage.uses_gpu}
        if preflight.needs_gpu(recipe) and steps:
            preflight.check(
                self.screen, self.settings, recipe, self.gpus(),
                trains="train" in steps, asks=bool(steps & ASKS), merges="check_merged" in steps,
                busy=workspace.is_busy(self.run_dir),
                is_taken=(lambda access: False) if has_turn else self._is_taken,
            )  # fmt: skip

    def _is_taken(self, access: str) -> bool:
        ranks = self.plan.recipe.train.ranks
        return queueing.is_taken(self.settings.gpu_locks, self.gpus(), access, ranks)

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

    def _wait(self, owner: str) -> None:
        self.tell(state="waiting", waits_for=owner)
        self.say_waiting(owner)

    def say_waiting(self, owner: str) -> None:
        """Tell whom this command waits for."""
        waiting(self.screen)(owner)


def waiting(screen: Screen) -> Callable[[str], None]:
    """What tells on ``screen`` whom a command waits for."""
    return lambda owner: screen.tell("workspace", "run.waiting", owner=owner)
