"""A fake engine where DOCKER_HOST says, and the ordinary engine of the kit in front of it."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from engine_faults.fake_engine import FakeEngine

from llavakit.engines import docker_job
from llavakit.engines.base import Job, Outcome
from llavakit.engines.docker import DockerEngine, connect


@dataclass
class Bench:
    fake: FakeEngine
    workspace: Path

    def engine(self) -> DockerEngine:
        """The kit's engine, found as a user's is."""
        self.client = connect(timeout=5)
        return DockerEngine(self.client, self.fake.image)

    def job(self, **options: Any) -> Job:
        return Job("train", ("-c", "1"), self.workspace, labels={"workspace": "w"}, **options)

    def run(self, **options: Any) -> tuple[list[str], Outcome]:
        running = self.engine().start(self.job(**options))
        lines = list(running.lines())
        return lines, running.wait()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    (tmp_path / "w").mkdir()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/d.sock")
    with FakeEngine(tmp_path / "d.sock") as fake:
        made = Bench(fake, tmp_path / "w")
        yield made
        if hasattr(made, "client"):
            made.client.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # see test_faults.py
            gc.collect()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited a minute for, in a second."""
    monkeypatch.setattr(docker_job, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(docker_job, "LOG_SECONDS", 0.2)
    monkeypatch.setattr(docker_job, "WAIT_SECONDS", 0.5)
