"""`invoke test`: the host's tests with its Python, the steps' tests with the environment's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llavakit.host import environment
from llavakit.host.console import Screen
from llavakit.host.settings import KIT, Settings

INSIDE = ("tests/shared", "tests/steps")
"""Folders whose tests run inside the environment; tests/shared runs on both sides."""


def test(settings: Settings, options: Mapping[str, Any], screen: Screen) -> int:
    """Run all tests; ``--quick`` leaves out what needs the environment or an engine."""
    host = [sys.executable, "-m", "pytest", "tests", "--ignore=tests/steps"]
    if options.get("quick"):
        return _run([*host, "-m", "not environment and not engine"])
    python = environment.local_python(settings, screen)
    screen.tell("inside", "test.inside")
    inside = _run([python, "-m", "pytest", *INSIDE], {"PYTHONPATH": str(environment.SOURCE)})
    screen.tell("outside", "test.outside")
    outside = _run(host, {"INVOKE_LLAVAKIT_ENVIRONMENTS": str(settings.environments)})
    return inside or outside


def _run(argv: Sequence[str | Path], more: Mapping[str, str] | None = None) -> int:
    return subprocess.run(argv, cwd=KIT, env={**os.environ, **(more or {})}, check=False).returncode
