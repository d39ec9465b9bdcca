"""`invoke attach`, `logs` and `stop`: a run that another process has in hand."""

from __future__ import annotations

import time
from pathlib import Path

from llavakit import workspace
from llavakit.errors import Interrupted, RecordError, StepError
from llavakit.host import detaching, driver, follow, following, jobs, recording, runs, words
from llavakit.host.console import Screen
from llavakit.host.driver import Driver
from llavakit.host.following import Tail
from llavakit.host.settings import Settings
from llavakit.workspace import Workspace

STOP_SECONDS = follow.STOP_SECONDS + 30
POLL_SECONDS = 0.2
REST_SECONDS = 10.0
HURRY_SECONDS = 0.5
"""Between a driver's first and second Ctrl-C."""


def attach(settings: Settings, name: str, screen: Screen) -> int:
    """Show a run until it ends, as the command in the foreground would; its exit status.

    A run whose process was killed while its job goes on gets a new process first. Raises what the
    run failed with; Interrupted ``detached`` on Ctrl-C, which leaves it alone.
    """
    place = Workspace(settings.workspace)
    run_dir = pick(place, name)
    last = driver.read(run_dir)
    if not driver.is_driven(run_dir) and goes_on(place, run_dir):
        last = _take_over(settings, run_dir, last, screen)
    if driver.is_driven(run_dir):
        try:
            last = following.watch(run_dir, screen)
        except KeyboardInterrupt:
            raise Interrupted("detached", run=run_dir.name) from None
    found = runs.describe(run_dir)
    text = words.text(f"runs.{found['state']}", screen.lang)
    screen.result(found, text="" if screen.json_output else f"{run_dir.name}: {text}")
    return _status(last, screen)


def _take_over(
    settings: Settings, run_dir: Path, last: Driver | None, screen: Screen
) -> Driver | None:
    if last is None or last.order is None:
        raise StepError("no-driver", run=run_dir.name)
    screen.tell("attach", "attach.takes-over", who=last.words())
    detaching.spawn(settings, last.order, run_dir)
    return driver.read(run_dir)


def _status(last: Driver | None, screen: Screen) -> int:
    if last is None or last.state == "finished":
        return 0
    failure = last.failure
    if failure is None:
        return 1 if last.state == "failed" else 130
    if screen.json_output or not last.detached:  # else it stands in what was shown
        raise failure
    return failure.exit_code


def logs(place: Workspace, name: str, screen: Screen, *, goes_along: bool) -> int:
    """Write what the run's stages printed; with ``goes_along`` until the run ends."""
    run_dir = pick(place, name)
    if screen.json_output:
        found = {path.stem: str(path) for path in _log_files(run_dir)}
        screen.result({"run": run_dir.name, "logs": found})
        return 0
    tails: dict[Path, Tail] = {}
    shown: Path | None = None
    try:
        while True:
            lives = goes_along and is_alive(run_dir)
            for path in _log_files(run_dir):
                lines = tails.setdefault(path, Tail(path)).read()
                if lines and path != shown:
                    screen.result(None, text=f"== {path.stem} ==")
                    shown = path
                if lines:
                    screen.result(None, text="\n".join(lines))
            if not lives:
                return 0
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        raise Interrupted("detached", run=run_dir.name) from None


def _log_files(run_dir: Path) -> list[Path]:
    """The one that was written last comes last."""
    found = [path for path in (run_dir / "logs").glob("*.log") if path.is_file()]
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)


def stop(settings: Settings, name: str, screen: Screen, *, now: bool) -> int:
    """End a run: its driver is asked to, or where that was killed its job. ``now``: without delay.

    Raises StepError ``not-stopped`` where its driver is another host's or another user's, or does
    not end in time.
    """
    place = Workspace(settings.workspace)
    run_dir = pick(place, name)
    seen = driver.read(run_dir)
    if driver.is_driven(run_dir):
        _interrupt(run_dir, seen, screen, now=now)
    elif left := jobs.of_run(place, jobs.run_id(place, run_dir)):
        for job in left:
            screen.tell("stop", "stop.job", job=job.id)
            job.stop(0 if now else follow.STOP_SECONDS)
            job.wait()
        _until_at_rest(run_dir)
        recording.stopped(run_dir, Interrupted("interrupted", step=seen.stage if seen else "?"))
    else:
        screen.tell("stop", "stop.nothing", run=run_dir.name)
    found = runs.describe(run_dir)
    text = words.text(f"runs.{found['state']}", screen.lang)
    screen.result(found, text=f"{run_dir.name}: {text}")
    if found["state"] == "interrupted" and seen is not None:
        screen.tell("stop", "stop.resume", task=seen.task)
    return 0


def _interrupt(run_dir: Path, seen: Driver | None, screen: Screen, *, now: bool) -> None:
    who = seen.words() if seen else "?"
    if seen is None or not seen.is_here:
        raise StepError("not-stopped", run=run_dir.name, who=who)
    screen.tell("stop", "stop.asked", who=who, seconds=STOP_SECONDS)
    try:
        seen.interrupt()
        if now:
            time.sleep(HURRY_SECONDS)
            if driver.is_driven(run_dir):
                seen.interrupt()
    except PermissionError as error:
        raise StepError("not-stopped", run=run_dir.name, who=who, why=str(error)) from None
    deadline = time.monotonic() + STOP_SECONDS
    while driver.is_driven(run_dir):
        if time.monotonic() > deadline:
            raise StepError("not-stopped", run=run_dir.name, who=who)
        time.sleep(POLL_SECONDS)


def _until_at_rest(run_dir: Path) -> None:
    """A process that has ended may have threads that have not, for a moment."""
    deadline = time.monotonic() + REST_SECONDS
    while workspace.is_busy(run_dir) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def pick(place: Workspace, name: str) -> Path:
    """The folder of the run ``name``; for an empty one of the newest that is alive, or at all.

    Raises RecordError ``no-run``.
    """
    if name:
        for folder in (place.runs / name, Path(name).expanduser()):
            inside, runs_folder = folder.resolve(), place.runs.resolve()
            if inside.is_dir() and runs_folder in inside.parents:
                return place.runs / inside.relative_to(runs_folder)
        raise RecordError("no-run", run=name, folder=place.runs)
    found = [path for path in place.runs.glob("*") if path.is_dir() and path.name[0] != "."]
    if not found:
        raise RecordError("no-run", run="-", folder=place.runs)
    return max(found, key=lambda path: (is_alive(path), path.stat().st_mtime_ns))


def is_alive(run_dir: Path) -> bool:
    """Whether a process drives the run, or a step writes in it."""
    return driver.is_driven(run_dir) or workspace.is_busy(run_dir)


def goes_on(place: Workspace, run_dir: Path) -> bool:
    """Whether a job of the run is there, its step already at work or still starting."""
    return workspace.is_busy(run_dir) or bool(jobs.of_run(place, jobs.run_id(place, run_dir)))
