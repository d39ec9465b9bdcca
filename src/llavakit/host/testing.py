"""`invoke test`: the steps' tests with the environment's Python beside the host's with its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llavakit.host import environment
from llavakit.host.console import Screen
from llavakit.host.settings import KIT, Settings

INSIDE = ("tests/shared", "tests/steps")
"""Folders whose tests run inside the environment; tests/shared runs on both sides."""
LOOK_SECONDS = 0.2
GRACE_SECONDS = 30.0
"""What an interrupted part has to remove what its tests started."""


@dataclass(frozen=True)
class Part:
    """Tests that run in a process of their own."""

    name: str
    what: str
    """The words that say it."""
    argv: Sequence[str | Path]
    more: Mapping[str, str] = field(default_factory=dict)
    """Environment variables beside our own."""


def test(settings: Settings, options: Mapping[str, Any], screen: Screen) -> int:
    """Run all tests; ``--quick`` leaves out what needs the environment or an engine."""
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    host = [sys.executable, "-m", "pytest", *colour, "tests", "--ignore=tests/steps"]
    if options.get("quick"):
        return subprocess.run(
            [*host, "-m", "not environment and not engine"], cwd=KIT, check=False
        ).returncode
    python = environment.local_python(settings, screen)
    inside: list[str | Path] = [python, "-m", "pytest", *colour, *INSIDE]
    return run(
        [
            Part("inside", "test.inside", inside,
                 {"PYTHONPATH": str(environment.SOURCE)}),
            Part("outside", "test.outside", host,
                 {"INVOKE_LLAVAKIT_ENVIRONMENTS": str(settings.environments)}),
        ],
        screen,
    )  # fmt: skip


def run(parts: Sequence[Part], screen: Screen) -> int:
    """Run all parts at once; show what each prints one after the other, none in another's.

    Returns the first status that is not 0: a part in which pytest finds no test (5) has failed.
    """
    names = ", ".join(part.name for part in parts)
    screen.tell("test", "test.at-once", names=names)
    with tempfile.TemporaryDirectory(prefix="llavakit-test-") as place:
        printed = [Path(place, part.name) for part in parts]
        begun: list[subprocess.Popen[bytes]] = []
        try:
            for part, file in zip(parts, printed, strict=True):
                begun.append(_begin(part, file, begun))
            for part, process, file in zip(parts, begun, printed, strict=True):
                screen.tell(part.name, part.what)
                _show(file, process)
        finally:
            statuses = [_ended(process) for process in begun]
    for part, status in zip(parts, statuses, strict=True):
        screen.tell(part.name, "test.failed" if status else "test.passed", status=status)
    return next(filter(None, statuses), 0)


def _begin(
    part: Part, printed: Path, others: Sequence[subprocess.Popen[bytes]]
) -> subprocess.Popen[bytes]:
    """Raises OSError, and ends the ``others``, where it cannot begin."""
    try:
        with printed.open("wb") as file:
            return subprocess.Popen(
                part.argv, cwd=KIT, env={**os.environ, **part.more},
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
    except OSError:
        for process in others:
            process.terminate()
        raise


def _show(printed: Path, process: subprocess.Popen[bytes]) -> None:
    """What a process prints, from its beginning, until it ends."""
    with printed.open("rb") as file:
        ended = False
        while not ended:
            ended = process.poll() is not None
            shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.flush()
            if not ended:
                time.sleep(LOOK_SECONDS)


def _ended(process: subprocess.Popen[bytes]) -> int:
    """The status of a process that has ended, or was interrupted as we were and tidies up."""
    try:
        return process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()
        return process.wait()
