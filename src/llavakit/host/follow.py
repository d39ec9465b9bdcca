"""Follow a running job: its output into a log, its events to the screen, its end as an outcome."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from llavakit import errors, redact
from llavakit.engines.base import Outcome, Running
from llavakit.errors import KitError
from llavakit.events import Event, EventReader

POLL_SECONDS = 0.1
TAIL_LINES = 15
STOP_SECONDS = 30.0
"""What a step gets to end cleanly: it may be in the middle of a checkpoint."""


@dataclass
class Output:
    """What a job printed: the last lines, and the error that it reported, if any."""

    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    error: KitError | None = None


def follow(
    running: Running,
    log: Path,
    events: EventReader,
    on_event: Callable[[Event], None],
    *,
    log_from: int | None = None,
    on_stop: Callable[[], None] = lambda: None,
) -> tuple[Outcome, Output]:
    """Block until the job has ended. On Ctrl-C the job is stopped and KeyboardInterrupt goes on.

    ``log_from``: the job's lines are all written again from there; another process began to.
    ``on_stop`` tells that the job was asked to end.
    """
    output = Output()
    reader = threading.Thread(target=drain, args=(running, log, output, log_from), daemon=True)
    reader.start()
    try:
        while reader.is_alive():
            for event in events.read():
                on_event(event)
            reader.join(POLL_SECONDS)
        for event in events.read():
            on_event(event)
        return running.wait(), output
    except KeyboardInterrupt:
        on_stop()
        stop(running)
        reader.join()
        running.wait()
        raise


def stop(running: Running) -> None:
    """Ask the job to end and give it time to; at a second Ctrl-C make it."""
    try:
        running.stop(STOP_SECONDS)
    except KeyboardInterrupt:
        running.stop(0)


def follow_stranger(
    is_busy: Callable[[], bool], events: EventReader, on_event: Callable[[Event], None]
) -> None:
    """Show the progress of a job that another process started, until it lets go of the run."""
    while is_busy():
        for event in events.read():
            on_event(event)
        time.sleep(0.5)


def drain(running: Running, log: Path, output: Output, log_from: int | None) -> None:
    """Write what the job prints into ``log`` (see :func:`follow`), to its end."""
    hidden = redact.secrets(os.environ)
    with contextlib.ExitStack() as stack:
        file = None
        with contextlib.suppress(OSError):  # a full disk must not hide why the step failed
            log.parent.mkdir(parents=True, exist_ok=True)
            if log_from is not None and log.exists():
                os.truncate(log, min(log_from, log.stat().st_size))
            file = stack.enter_context(log.open("a", encoding="utf-8", errors="replace"))
        for raw in running.lines():
            line = redact.scrub(raw, hidden)
            error = errors.from_wire(line)
            output.error = error or output.error
            if error is None and line.strip():
                output.tail.append(line)
            if file is not None:
                with contextlib.suppress(OSError):
                    file.write(line + "\n")
                    file.flush()
