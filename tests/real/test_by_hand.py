"""`--plan` prints lines that do the same by hand: people can learn from them, and leave."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from real.command_line import REQUIRED, Kit, docker_is_missing

pytestmark = [pytest.mark.environment, pytest.mark.engine]


def test_the_printed_lines_do_what_the_task_does(kit: Kit) -> None:
    if reason := docker_is_missing():
        if os.environ.get(REQUIRED):
            pytest.fail(reason)
        pytest.skip(reason)
    plan = kit.result("compare", "--plan", "--set", "data.repeat=5")
    lines = [plan["recipe_command"], *(stage["command"] for stage in plan["stages"])]
    for line in lines:
        done = subprocess.run(["bash", "-euc", line], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    again = kit.result("compare", "--plan", "--set", "data.repeat=5")
    assert {stage["action"] for stage in again["stages"]} == {"up to date"}
    path = kit.root / "runs" / plan["run"] / "comparison.json"
    assert json.loads(path.read_text())["rows"]
