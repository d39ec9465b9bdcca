"""The short form of scripts/check_kills.py: a few SIGKILLs, and the same call again."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from real.command_line import KIT, Kit

pytestmark = pytest.mark.environment


def test_killed_at_chosen_moments_it_ends_as_if_undisturbed(
    engine: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    words = ("--kills", "5", "--seed", "5", "--engine", engine)
    env = {**Kit(tmp_path_factory.mktemp("kills")).env(), "PYTHONUNBUFFERED": "1"}
    del env["INVOKE_LLAVAKIT_WORKSPACE"]
    done = subprocess.run(
        [sys.executable, KIT / "scripts" / "check_kills.py", *words],
        cwd=KIT, env={**os.environ, **env}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert f"{engine}, seed 5: 5 of 5 ended as if undisturbed" in done.stdout
