"""Show what another process does with a run, as if this one did it. Reads, and changes nothing."""

from __future__ import annotations

import time
from pathlib import Path

from llavakit import record
from llavakit.errors import Interrupted
from llavakit.events import Event, EventReader
from llavakit.host import driver
from llavakit.host.console import Screen
from llavakit.host.driver import Driver
from llavakit.host.progress import StageProgress

POLL_SECONDS = 0.2
COUNTS = ("iteration", "progress")


class Tail:
    """The lines that a growing file got since the last call; a missing file has none."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self._offset = offset
        self._rest = b""

    def read(self) -> list[str]:
        """Whole lines only."""
        try:
            with self._path.open("rb") as file:
                if file.seek(0, 2) < self._offset:  # it was begun anew
                    self._offset, self._rest = 0, b""
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return []
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode("utf-8", "replace").rstrip("\r") for line in lines]


class View:
    """What is shown of a run that another process drives."""

    def __init__(self, run_dir: Path, screen: Screen) -> None:
        self._screen = screen
        self._run_dir = run_dir
        self._events = EventReader(run_dir, from_start=True)
        self._log: Tail | None = None
        self._progress: StageProgress | None = None
        self.driver: Driver | None = None
        """As it was seen last."""

    def update(self, now: Driver) -> None:
        """Show what is new."""
        before, self.driver = self.driver, now
        if before is None:
            self._log = Tail(self._run_dir / driver.LOG, now.log_from) if now.detached else None
        if before is None or now.stage != before.stage:
            self.close()
            self._progress = self._screen.progress(now.stage or now.task)
            self._progress.__enter__()
        if self._log is not None:
            for line in self._log.read():
                self._screen.note(line)
        elif before is None or (now.stage, now.state) != (before.stage, before.state):
            self._screen.say(now.stage or now.task, now.words())
            if now.state == "waiting":
                self._screen.tell(now.stage or now.task, "follow.waits", who=now.waits_for)
        for event in self._new_events(now, is_first=before is None):
            if self._progress is not None:
                self._progress.show(event)

    def _new_events(self, now: Driver, *, is_first: bool) -> list[Event]:
        events = self._events.read()
        if not is_first:
            return events
        since = record.epoch(now.since)
        return [event for event in events if event.kind in COUNTS and event.time >= since][-1:]

    def close(self) -> None:
        """Take the progress off the screen."""
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
            self._progress = None


def watch(run_dir: Path, screen: Screen) -> Driver | None:
    """Show the run until its driver has ended; what that said last.

    None where it ended before it said anything. A state of the present in it means that it was
    killed.
    """
    view = View(run_dir, screen)
    try:
        while driver.is_driven(run_dir):
            now = driver.read(run_dir)
            if now is not None and (now.state in driver.PRESENT or view.driver is not None):
                view.update(now)
            time.sleep(POLL_SECONDS)
        now, before = driver.read(run_dir), view.driver
        if before is None or now is None or (now.pid, now.since) != (before.pid, before.since):
            return before
        view.update(now)
        return now
    finally:
        view.close()


def until_its_end(run_dir: Path, screen: Screen) -> None:
    """Follow the process that drives the run.

    Returns when it finished, or was killed. Raises the KitError that it ended with, and Interrupted
    ``left-running`` on Ctrl-C.
    """
    try:
        last = watch(run_dir, screen)
    except KeyboardInterrupt:
        seen = driver.read(run_dir)
        step = seen.stage or seen.task if seen else "?"
        raise Interrupted("left-running", step=step) from None
    if last is not None and last.state == "interrupted":
        raise last.failure or Interrupted("interrupted", step=last.stage or last.task)
    if last is not None and last.state == "failed" and last.failure:
        raise last.failure
