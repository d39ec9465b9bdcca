"""Killed in mid-training: the next call, with either engine, goes on from the last checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from real.command_line import Kit, docker_is_missing

pytestmark = pytest.mark.environment
KILL_AT = 45
"""Between the checkpoints of iterations 40 and 60."""


def wait_for_iteration(kit: Kit, number: int, client: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert client.poll() is None, client.communicate()[0]
        if any(seen >= number for seen in kit.iterations()):
            return
        time.sleep(0.05)
    pytest.fail("training did not come that far")


def kill_steps(kit: Kit) -> None:
    """SIGKILL every process, in a container or not, that works in this workspace."""
    killed, here = 0, kit.root.stat()
    for folder in os.listdir("/proc"):  # noqa: PTH208 - names, not paths, of processes
        if not folder.isdigit():
            continue
        try:
            words = Path("/proc", folder, "cmdline").read_bytes()
            there = Path("/proc", folder, "cwd").stat()
        except OSError:
            continue
        if b"llavakit.steps.train" in words and os.path.samestat(here, there):
            os.kill(int(folder), signal.SIGKILL)
            killed += 1
    assert killed, "no training process was found"


def other(engine: str) -> str:
    if engine == "docker":
        return "local"
    return "local" if docker_is_missing() else "docker"


def test_goes_on_with_the_other_engine_after_both_sides_were_killed(engine: str, kit: Kit) -> None:
    client = kit.start("train", "--engine", engine)
    wait_for_iteration(kit, KILL_AT, client)
    client.kill()
    kill_steps(kit)
    client.communicate()

    result = kit.result("train", "--engine", other(engine))
    numbers = kit.iterations()
    restart = next(i for i in range(1, len(numbers)) if numbers[i] <= numbers[i - 1])
    assert numbers[restart] in {21, 41, 61}, "it went on from a checkpoint, not from the start"
    assert numbers[-1] == 80
    assert result["results"]["iterations"] == 80
    assert not list(kit.root.rglob("*.partial"))


def test_follows_a_training_whose_client_was_killed(engine: str, kit: Kit) -> None:
    client = kit.start("train", "--engine", engine)
    wait_for_iteration(kit, 5, client)
    client.kill()
    client.communicate()
    done = kit.run("train", "--engine", engine)
    assert done.returncode == 0, done.stderr
    assert "going on with it" in done.stderr
    assert kit.iterations() == list(range(1, 81)), "it was not trained twice"


def test_ctrl_c_stops_the_job_and_says_how_to_go_on(engine: str, kit: Kit) -> None:
    client = kit.start("train", "--engine", engine)
    wait_for_iteration(kit, 5, client)
    client.send_signal(signal.SIGINT)
    output, _ = client.communicate(timeout=60)
    assert client.returncode == 130, output
    assert "goes on from the last checkpoint" in output
    assert "Traceback" not in output
    seen = len(kit.iterations())
    time.sleep(2)
    assert len(kit.iterations()) == seen, "the job itself was stopped"
