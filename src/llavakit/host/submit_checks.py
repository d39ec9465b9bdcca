"""Let an engine's own tool look at what was rendered for it, where that tool is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llavakit.errors import ConfigurationError

SKY = "import sky, sys; sky.Task.from_yaml(sys.argv[1])"
"""SkyPilot checks a task as it reads it; its command line asks clouds as well."""
TOOLS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "slurm": ("sbatch", ("{tool}", "--test-only")),
    "kubernetes": ("kubernetes-validate", ("{tool}", "--strict", "--no-warn")),
    "skypilot": ("sky", ("{folder}/python", "-c", SKY)),
}
"""What must be installed, and what to run; that takes the file as its next word and ends with 0
where it would take it.
"""
SECONDS = 60


@dataclass(frozen=True)
class Checked:
    """``by``: the tool that found nothing wrong; empty where ``tool`` is not installed."""

    tool: str
    by: str = ""
    refused: ConfigurationError | None = None
    """``refused-file``, with the tool's own words."""


def check(engine: str, files: Sequence[Path]) -> Checked:
    """Ask the engine's tool about every file."""
    name, command = TOOLS[engine]
    tool = installed(name)
    if tool is None:
        return Checked(name)
    words = [word.format(tool=tool, folder=tool.parent) for word in command]
    for file in files:
        try:
            done = subprocess.run(
                [*words, str(file)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                env={**os.environ, "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"},
                timeout=SECONDS, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            return _refused(name, file, str(error))
        if done.returncode:
            return _refused(name, file, (done.stdout + done.stderr)[-2000:])
    return Checked(name, name)


def _refused(tool: str, file: Path, why: str) -> Checked:
    error = ConfigurationError("refused-file", tool=tool, file=file, why=why)
    return Checked(tool, refused=error)


def installed(name: str) -> Path | None:
    """The program ``name``: beside this Python, where the kit's own tools are, or on PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    return Path(found) if found else None
