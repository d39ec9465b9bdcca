"""What both jobs of grading have: a folder of their own, read-only but for the files they write.

Each of these has a size that it cannot exceed. Neither job is ever given a reference answer.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llavakit.engines.base import Engine, Mount
from llavakit.host.grade_setup import Setup

MIB = 1 << 20
OUTPUT_BYTES = MIB
"""Of what a job prints: a few lines are expected."""


@dataclass(frozen=True)
class Bench:
    """Where the jobs of one class run."""

    engine: Engine
    setup: Setup
    labels: Mapping[str, str]
    memory_bytes: int
    """The worker's."""
    models: tuple[Mount, ...]
    weights: str
    """The base model's folder, relative to the workspace."""
    described: Mapping[str, str]
    """The engine, in its own words."""

    @property
    def clean(self) -> Path:
        """What passed its check, a folder for each submission."""
        return self.setup.folder / "clean"


@contextmanager
def scratch(bench: Bench, name: str) -> Iterator[Path]:
    """A folder for one job, with ``inputs`` and ``runs``; gone when the job is."""
    folder = bench.setup.folder / "jobs" / f"{name}-{secrets.token_hex(6)}"
    try:
        for part in ("inputs", "runs"):
            (folder / part).mkdir(parents=True)
        readable(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def writable(folder: Path, files: list[Path]) -> tuple[Mount, ...]:
    """Empty files of ``folder`` that the job may write, and nothing beside them."""
    for file in files:
        file.touch()
    return tuple(
        Mount(file, file.relative_to(folder).as_posix(), read_only=False) for file in files
    )


def readable(folder: Path) -> None:
    """Whoever the job runs as reads it, whatever the umask of this process is."""
    for path in (folder, *folder.rglob("*")):
        if path.stat().st_uid == os.getuid():
            path.chmod(0o755 if path.is_dir() else 0o644)
