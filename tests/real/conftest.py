"""Fixtures of the real runs: both engines, and the kit in a workspace of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from real.command_line import REQUIRED, Kit, docker_is_missing


@pytest.fixture(params=["local", pytest.param("docker", marks=pytest.mark.engine)], scope="module")
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "docker" and (reason := docker_is_missing()):
        if os.environ.get(REQUIRED):
            pytest.fail(reason)
        pytest.skip(reason)
    return str(request.param)


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    made = Kit(tmp_path / "w")
    yield made
    made.run("clean", "--yes")  # containers of killed clients, before their workspace is gone
