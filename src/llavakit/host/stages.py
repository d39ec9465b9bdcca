"""Bring one stage up to date: run its job, or go on with the one that a killed command left.

A job outlives its command. Whoever calls next finds it by its labels (run, stage and key), follows
it as if it were its own, and says in the record how it ended. One that cannot be found that way (it
runs in the other engine, or was started by hand) shows by its lock on the run; it is waited for.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from llavakit import workspace
from llavakit.engines.base import Outcome, Running
from llavakit.errors import Interrupted, KitError, StepError, WorkspaceError
from llavakit.events import EventReader
from llavakit.host import follow, preflight, queueing, ranks, recording
from llavakit.host.disk import disk_errors
from llavakit.host.follow import Output
from llavakit.host.plan import Stage, Todo
from llavakit.locks import StepLock
from llavakit.phrases import phrase

if TYPE_CHECKING:
    from llavakit.host.pipeline import Pipeline


def bring(pipeline: Pipeline, item: Todo) -> None:
    """Run the stage, or follow who runs it. Raises the KitError that it failed with."""
    while True:
        try:
            if job := left(pipeline, item.stage):
                return _adopt(pipeline, item.stage, job)
            if workspace.is_busy(pipeline.run_dir) and _follow_stranger(pipeline, item.stage):
                return None
            return _run(pipeline, item)
        except KeyboardInterrupt:  # while it waited, or was about to start
            raise Interrupted("interrupted", step=item.stage.label) from None
        except WorkspaceError as error:
            if pipeline.nodes and _is_shared(item.stage) and error.id == "workspace.busy":
                time.sleep(1)  # another host makes it, in the workspace that they share
                if is_done(pipeline, item.stage):
                    return None
                continue
            # A stranger began on this run while the job was starting; an output that another
            # run is making is for the user to wait for.
            run = str(pipeline.plan.run)
            if error.id != "workspace.busy" or error.params["folder"] != run:
                raise


def _is_shared(stage: Stage) -> bool:
    """Whether its output is everybody's, not one run's."""
    return stage.lock.parts[0] in ("models", "data")


def settle(pipeline: Pipeline) -> None:
    """Complete the record of stages that ended after their command was killed."""
    for stage in recording.unsettled(pipeline.plan, pipeline.workspace):
        engine, labels = pipeline.engine(sweeps=False), pipeline.labels(stage)
        done = is_done(pipeline, stage)
        if running := engine.find(labels):
            if done:  # it is about to end; else bring() sees to it
                _adopt(pipeline, stage, running[0])
        elif ended := engine.ended(labels):
            _salvage(pipeline, stage, ended[0])
        elif done:
            with disk_errors(pipeline.run_dir):
                recording.settle(pipeline.plan, pipeline.workspace, stage)
            pipeline.screen.tell(stage.label, "stage.settled")


def _salvage(pipeline: Pipeline, stage: Stage, ended: Running) -> None:
    """Keep what a job printed that ended while nobody looked, and say in the record how it did.

    One that failed is no failure of this command, which does it again.
    """
    output = Output()
    follow.drain(ended, _log(pipeline, stage), output, _log_from(pipeline, stage))
    outcome = ended.wait()
    error = _error(pipeline, stage, outcome, output)
    with disk_errors(pipeline.run_dir):
        recording.settle(pipeline.plan, pipeline.workspace, stage, outcome=outcome, error=error)
    if error is None:
        pipeline.screen.tell(stage.label, "stage.settled")
    else:
        pipeline.screen.tell(stage.label, "stage.had-failed", what=error.what(pipeline.screen.lang))


def _log_from(pipeline: Pipeline, stage: Stage) -> int | None:
    """Where in its log the lines of a job begin that a killed command followed."""
    before = pipeline.driver
    return before.output_from if before and before.stage == stage.label else None


def left(pipeline: Pipeline, stage: Stage) -> Running | None:
    """The running job of the stage, made from these inputs, that another command started."""
    found = pipeline.engine().find(pipeline.labels(stage))
    return found[0] if found else None


def is_done(pipeline: Pipeline, stage: Stage) -> bool:
    """Whether the stage's artefacts prove that it is."""
    return StepLock(pipeline.workspace.root / stage.lock).check(stage.key).fresh


def _run(pipeline: Pipeline, item: Todo) -> None:
    stage, engine, job = item.stage, pipeline.engine(), pipeline.job(item.stage)
    pipeline.screen.say(stage.label, item.why(pipeline.screen.lang))
    log = _log(pipeline, stage)
    access = engine.describe().get("gpus", "none")
    with queueing.turn(pipeline, stage.label, job, access, [stage]):
        clock, events = recording.Clock(), EventReader(pipeline.run_dir)
        gpus = preflight.announce(pipeline.screen, stage.label, job.gpus, access)
        if stage.step == "train":
            ranks.tell(pipeline.screen, pipeline.plan, pipeline.workspace, len(gpus))
        attempt = recording.Attempt(stage, clock, engine, job, gpus)
        size = log.stat().st_size if log.exists() else 0
        indices = [gpu["index"] for gpu in gpus]
        pipeline.tell(stage=stage.label, engine=engine.name, gpus=indices, output_from=size)
        with disk_errors(pipeline.run_dir):
            recording.begin(pipeline.plan, pipeline.workspace, attempt)
        running: Running | None = None
        outcome: Outcome | None = None
        error: KitError | None
        try:
            running = engine.start(job)
            outcome, output = _follow(pipeline, stage, running, events)
            error = _error(pipeline, stage, outcome, output)
        except KeyboardInterrupt:
            if running is not None:
                follow.stop(running)
            error = Interrupted("interrupted", step=stage.label)
        except KitError as refused:
            error = refused
        with disk_errors(pipeline.run_dir):
            recording.keep(pipeline.plan, pipeline.workspace, attempt, outcome=outcome, error=error)
    if error is not None:
        raise error
    pipeline.screen.tell(stage.label, "run.done", seconds=clock.seconds)


def _adopt(pipeline: Pipeline, stage: Stage, running: Running) -> None:
    """Go on with a job whose command was killed. Whoever waits for its GPU waits for the job."""
    pipeline.screen.tell(stage.label, "stage.adopted", job=running.id)
    log_from = _log_from(pipeline, stage)
    pipeline.tell(stage=stage.label, engine=pipeline.engine().name, output_from=log_from or 0)
    outcome: Outcome | None = None
    error: KitError | None
    try:
        events = EventReader(pipeline.run_dir)
        outcome, output = _follow(pipeline, stage, running, events, log_from=log_from)
        error = _error(pipeline, stage, outcome, output)
    except KeyboardInterrupt:
        error = Interrupted("interrupted", step=stage.label)
    except KitError as refused:
        error = refused
    with disk_errors(pipeline.run_dir):
        recording.settle(pipeline.plan, pipeline.workspace, stage, outcome=outcome, error=error)
    if error is not None:
        raise error
    pipeline.screen.tell(stage.label, "stage.ended")


def _follow_stranger(pipeline: Pipeline, stage: Stage) -> bool:
    """Follow the process that works on this run to its end; whether that did ``stage``."""
    pipeline.screen.tell(stage.label, "run.followed")
    pipeline.tell(stage=stage.label)
    clock = recording.Clock()
    try:
        with pipeline.screen.progress(stage.label) as progress:
            follow.follow_stranger(
                lambda: workspace.is_busy(pipeline.run_dir),
                EventReader(pipeline.run_dir),
                progress.show,
            )
    except KeyboardInterrupt:
        raise Interrupted("left-running", step=stage.label) from None
    pipeline.sweep_what_ends()
    if not is_done(pipeline, stage):
        return False
    with disk_errors(pipeline.run_dir):
        if not recording.settle(pipeline.plan, pipeline.workspace, stage):
            attempt = recording.Attempt(stage, clock)
            recording.keep(pipeline.plan, pipeline.workspace, attempt)
    pipeline.screen.tell(stage.label, "run.followed-done")
    return True


def _follow(
    pipeline: Pipeline,
    stage: Stage,
    running: Running,
    events: EventReader,
    *,
    log_from: int | None = None,
) -> tuple[Outcome, Output]:
    def on_stop() -> None:
        pipeline.screen.tell(stage.label, "stage.stopping", seconds=follow.STOP_SECONDS)

    log = _log(pipeline, stage)
    with pipeline.screen.progress(stage.label) as progress:
        return follow.follow(
            running, log, events, progress.show, log_from=log_from, on_stop=on_stop
        )


def _error(pipeline: Pipeline, stage: Stage, outcome: Outcome, output: Output) -> KitError | None:
    """Why the stage failed; None when its artefacts prove that it did not."""
    state = StepLock(pipeline.workspace.root / stage.lock).check(stage.key)
    if state.fresh:
        return None
    tail, shown = "\n".join(output.tail), _short(_log(pipeline, stage))
    if output.error is not None:
        return _with_log(output.error, tail, shown)
    if outcome.out_of_memory:
        return StepError("out-of-memory", step=stage.label, why=outcome.detail)
    if outcome.exit_code not in (0, None):
        how = outcome.detail or phrase("ended.status", status=outcome.exit_code)
        return StepError("failed", step=stage.label, how=how, log=shown, why=tail)
    missing = phrase("stale.result", reason=state.reason)
    return StepError("no-result", step=stage.label, missing=missing, log=shown, why=tail)


def _with_log(error: KitError, tail: str, log: str) -> KitError:
    """A step names its log by its own name; the host knows where it wrote it."""
    if "log" in error.params:
        error.params["log"] = log
        error.detail = error.detail or tail
    return error


def _log(pipeline: Pipeline, stage: Stage) -> Path:
    return pipeline.run_dir / "logs" / f"{stage.label}.log"


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
