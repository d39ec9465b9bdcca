"""What every step shares: its command line, its events, and how it ends.

A step is ``run(NAME, body, arguments)``. Whatever happens, the last line on standard output says
why a step failed, in the form of :meth:`llavakit.errors.KitError.to_wire`; everything above it is
the step's log.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from llavakit import recipe as recipes
from llavakit.errors import KitError, StepError
from llavakit.events import EventWriter
from llavakit.recipe import Recipe
from llavakit.steps import machine
from llavakit.steps.faults import explain
from llavakit.workspace import busy

CONFIGS = Path(__file__).parents[3] / "configs"
"""The kit's own templates; the same relative place in the image and in a checkout."""


@dataclass(frozen=True)
class Job:
    """What a step was asked to do. All paths are relative to the workspace."""

    step: str
    recipe: Recipe
    run: Path
    key: str
    args: argparse.Namespace
    events: EventWriter


Body = Callable[[Job], None]
Arguments = Callable[[argparse.ArgumentParser], None]


def run(step: str, body: Body, arguments: Arguments, argv: Sequence[str] | None = None) -> int:
    """Run one step and return its exit status; see the module's docstring."""
    args = _parse(step, arguments, argv)
    events = EventWriter(args.run, step)
    signal.signal(signal.SIGTERM, stop)
    try:
        events.emit("started")
        recipe = recipes.load(args.recipe)
        with busy(args.run):  # two steps never write in one run, whoever started them
            body(Job(step, recipe, args.run, args.key, args, events))
    except (Exception, KeyboardInterrupt) as error:
        events.emit("usage", **machine.usage())
        return say_last(translate(error, step, args.run))
    events.emit("usage", **machine.usage())
    events.emit("finished")
    return _flush()


def say_last(error: KitError) -> int:
    """Print ``error`` for the host as the last line, disk full or not; its exit status."""
    _flush()
    with contextlib.suppress(OSError):  # nobody reads any more; the exit status still says it
        # A progress bar may have left its line unfinished.
        os.write(1, f"\n{error.to_wire()}\n".encode("ascii"))
    return error.exit_code


def _parse(step: str, arguments: Arguments, argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m llavakit.steps.{step}")
    parser.add_argument("--recipe", type=Path, required=True, help="the resolved recipe, as JSON")
    parser.add_argument("--run", type=Path, required=True, help="the run's folder")
    parser.add_argument("--key", required=True, help="stands for the inputs; goes into the lock")
    arguments(parser)
    return parser.parse_args(argv)


def translate(error: BaseException, step: str, folder: Path) -> KitError:
    """Any error as one of ours; the traceback of a foreign one goes to the log."""
    known = explain(error, step, folder)
    if not isinstance(error, KitError | KeyboardInterrupt):
        with contextlib.suppress(OSError):
            traceback.print_exception(error)
    if known is not None:
        return known
    first, *_ = str(error).splitlines() or [""]
    return StepError(
        "failed",
        step=step,
        how=f"{type(error).__name__}: {first}",
        log=(folder / "logs" / f"{step}.log").as_posix(),
    )


def stop(signum: int, frame: FrameType | None) -> None:
    """SIGTERM unwinds like Ctrl-C, so that nothing half-written stays."""
    raise KeyboardInterrupt


def _flush() -> int:
    """Flush the log; a full disk under it must not change a step's exit status."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except OSError:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - open to the end
    return 0
