"""Runs of the recipe `tiny`, and what they leave: results, files, containers, processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from killing.moments import EVERY, ITERATIONS, PATIENCE, Kill, jobs
from llavakit.host.settings import KIT

INVOKE = Path(sys.executable).with_name("invoke")
SHORT = ("--set", f"data.repeat={ITERATIONS}", "--set", f"train.checkpoints.every={EVERY}")
PASSING = re.compile(r"(^|/)(\.lock|\.lock-owner|\.busy|\.writable|logs/.*)$|train/\d{8}_\d{6}/")
"""Locks, and logs that grow with every call: XTuner's have the time in their folder's name."""


@dataclass
class Calm:
    """A run that nobody disturbed."""

    seconds: float
    outcome: dict[str, Any]
    files: set[str]


def command(task: str, engine: str, root: Path) -> list[str]:
    words = [task, *SHORT, "--engine", engine, "--workspace", str(root), "--json"]
    return [str(INVOKE), *words, *(["--gpus", "none"] if task in ("train", "convert") else [])]


def begin(argv: list[str]) -> subprocess.Popen[str]:
    env = {**os.environ, "LANG": "C.UTF-8"}
    return subprocess.Popen(
        argv, cwd=KIT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(argv: list[str]) -> dict[str, Any]:
    """Run it to its end; what it says of the training. Raises RuntimeError when it fails."""
    client = begin(argv)
    out, err = client.communicate(timeout=PATIENCE)
    if client.returncode:
        raise RuntimeError(f"exit status {client.returncode}: {err[-800:]}")
    found = json.loads(out)["results"]
    if "train" not in found["artefacts"]:
        return {}
    trained = {
        name.rpartition("/")[2]: sha256
        for name, sha256 in found["artefacts"]["train"].items()
        if name.endswith(("_weights.pth", "history.json"))
    }
    return {"iterations": found["iterations"], "losses": found["losses"], "files": trained}


def leftovers(root: Path, engine: str) -> list[str]:
    found = [f"process {pid}" for pid in jobs(root)]
    found += [str(path.relative_to(root)) for path in root.glob("cache/jobs/*")]
    if engine == "docker":
        asked = ["docker", "ps", "--all", "--quiet", "--filter", f"volume={root}"]
        found += subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    return found


def files(root: Path) -> set[str]:
    every = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    return {name for name in every if not PASSING.search(name)}


def judge(kill: Kill, engine: str, root: Path, calm: Calm) -> list[str]:
    """Call the same again, and the rest of a whole run; what is not as it should be."""
    try:
        outcome = finish(command(kill.task, engine, root))
    except (RuntimeError, subprocess.TimeoutExpired, ValueError, KeyError) as error:
        return [f"{type(error).__name__}: {error}"]
    found = [f"{key} differ" for key, value in calm.outcome.items() if outcome[key] != value]
    here = files(root)
    found += [f"left: {name}" for name in sorted(here - calm.files)]
    found += [f"missing: {name}" for name in sorted(calm.files - here)]
    return found + leftovers(root, engine)


def undisturbed(task: str, engine: str, root: Path) -> Calm:
    began = time.monotonic()
    outcome = finish(command(task, engine, root))
    return Calm(time.monotonic() - began, outcome, files(root))
