"""Nobody waits: a training outlives its terminal, its command and its driver, on real engines."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from real.command_line import INVOKE, Kit
from real.test_recovery import wait_for_iteration

from llavakit import record
from llavakit.host import driver, jobs
from llavakit.workspace import Workspace

pytestmark = pytest.mark.environment
SECONDS = 300
LAST = 200
LONG = ("--set", f"data.repeat={LAST}")
"""So many iterations that a quick machine is not through before it is stopped."""


def run_dir(kit: Kit) -> Path:
    [folder] = kit.root.glob("runs/*")
    return folder


def until_iteration(kit: Kit, number: int) -> None:
    deadline = time.monotonic() + SECONDS
    while not any(seen >= number for seen in kit.iterations()):
        assert time.monotonic() < deadline, kit.run("logs").stdout
        time.sleep(0.05)


def check_whole(kit: Kit, engine: str) -> None:
    """Trained once, from the first to the last iteration, and recorded as if nothing had been."""
    assert kit.iterations() == list(range(1, LAST + 1))
    run = record.load(run_dir(kit))
    assert [(stage.label, stage.outcome, stage.engine) for stage in run.provenance.stages] == [
        (label, "done", engine) for label in ("models", "data", "train")
    ]
    training = run.provenance.stages[-1]
    assert training.machine is not None
    assert training.usage is not None
    assert training.seconds
    assert run.results.iterations == LAST
    assert run.identity.python
    log = (run_dir(kit) / "logs" / "train.log").read_text()
    assert len(re.findall(rf"Iter\(train\) \[ *10/{LAST}\]", log)) == 1, "each line of the log once"
    assert f"[{LAST}/{LAST}]" in log
    check_nothing_left(kit)


def check_nothing_left(kit: Kit) -> None:
    assert jobs.of_run(Workspace(kit.root), run_dir(kit).name) == []
    assert not list(kit.root.glob("cache/jobs/*"))
    label = f"io.llavakit.workspace={jobs.labels(Workspace(kit.root))['workspace']}"
    words = ["docker", "ps", "--all", "--quiet", "--filter", f"label={label}"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return
    assert done.stdout == "", "a container was left"


def containers(kit: Kit) -> list[str]:
    return [job.id for job in jobs.of_run(Workspace(kit.root), run_dir(kit).name)]


class Terminal:
    """A command in a terminal of its own, which can be read and closed."""

    def __init__(self, kit: Kit, *words: str) -> None:
        self.pid, self.handle = pty.fork()
        if self.pid == 0:
            os.chdir(kit.clone)
            os.execve(  # noqa: S606
                INVOKE, [str(INVOKE), *words], {**kit.env(), "COLUMNS": "80"}
            )
        self.text = ""
        self.status: int | None = None

    def read(self, pattern: str) -> str:
        """Everything until a line matches ``pattern``, or the command has ended."""
        deadline = time.monotonic() + SECONDS
        while not re.search(pattern, self.text):
            assert time.monotonic() < deadline, self.text
            if not select.select([self.handle], [], [], 0.2)[0]:
                continue
            try:
                data = os.read(self.handle, 1 << 16)
            except OSError:  # the other side has ended
                break
            self.text += data.decode("utf-8", "replace")
        return self.text

    def press(self, keys: bytes) -> None:
        os.write(self.handle, keys)

    def wait(self) -> int:
        """Read to the end; the exit status."""
        self.read(r"(?!)")
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.handle)
        return self.status

    def close(self) -> None:
        """The window is closed: SIGHUP, and no terminal any more."""
        os.kill(self.pid, signal.SIGHUP)
        os.close(self.handle)
        os.waitpid(self.pid, 0)


def test_a_killed_command_s_job_is_gone_on_with(engine: str, kit: Kit) -> None:
    client = kit.start("train", "--engine", engine, *LONG)
    wait_for_iteration(kit, 5, client)
    before = containers(kit)
    client.kill()
    client.communicate()
    again = kit.start("train", "--engine", engine, *LONG)
    until_iteration(kit, 40)
    assert containers(kit) == before, "one job, the first one"
    assert again.wait(SECONDS) == 0, again.communicate()
    again.communicate()
    check_whole(kit, engine)
    exit_code = record.load(run_dir(kit)).provenance.stages[-1].exit_code
    assert exit_code == (0 if engine == "docker" else None), "nobody else can know a child's"


def test_one_whose_job_ended_alone_is_completed(engine: str, kit: Kit) -> None:
    client = kit.start("train", "--engine", engine, *LONG)
    wait_for_iteration(kit, LAST - 20, client)
    client.kill()
    client.communicate()
    deadline = time.monotonic() + SECONDS
    while containers(kit):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert kit.result("runs")[0]["state"] == "interrupted"
    done = kit.run("train", "--engine", engine, *LONG)
    assert done.returncode == 0, done.stderr
    assert "the record is complete now" in done.stderr
    check_whole(kit, engine)
    exit_code = record.load(run_dir(kit)).provenance.stages[-1].exit_code
    assert exit_code == (0 if engine == "docker" else None)


def test_detached_in_a_terminal_that_is_closed_and_seen_again_in_another(
    engine: str, kit: Kit
) -> None:
    first = Terminal(kit, "train", "--detach", "--engine", engine, *LONG)
    first.read("invoke stop")
    first.close()
    until_iteration(kit, 5)
    [listed] = kit.result("runs")
    assert listed["state"] == "running"
    assert listed["stage"] == "train"

    second = Terminal(kit, "attach")
    second.read(rf"iteration \d+/{LAST}")
    second.press(b"\x03")
    assert second.wait() == 130
    assert "invoke stop" in second.text
    assert "Traceback" not in second.text

    third = Terminal(kit, "attach", run_dir(kit).name, "--lang", "zh")
    third.read(rf"iteration \d+/{LAST}")
    assert third.wait() == 0, third.text
    assert "已完成" in third.text
    check_whole(kit, engine)
    seen = driver.read(run_dir(kit))
    assert seen is not None
    assert (seen.state, seen.detached) == ("finished", True)


def test_the_same_command_follows_and_attach_takes_over_from_a_killed_driver(
    engine: str, kit: Kit
) -> None:
    begun = kit.result("train", "--detach", "--engine", engine, *LONG)
    assert begun["state"] in driver.PRESENT
    assert kit.result("train", "--detach", "--engine", engine, *LONG)["process"] == begun["process"]
    until_iteration(kit, 3)
    before = containers(kit)
    os.kill(begun["process"], signal.SIGKILL)
    attached = kit.start("attach", "--json")
    until_iteration(kit, 30)
    assert containers(kit) == before
    follower = kit.start("train", "--engine", engine, *LONG)
    output, _ = attached.communicate(timeout=SECONDS)
    assert attached.returncode == 0, output
    assert json.loads(output[output.index("\n{") :])["state"] == "finished"
    assert "another process takes over" in output
    output, _ = follower.communicate(timeout=SECONDS)
    assert follower.returncode == 0, output
    check_whole(kit, engine)


def test_stopped_and_gone_on_with(engine: str, kit: Kit) -> None:
    # As a shell starts what it puts into the background: Ctrl-C is ignored, and that is inherited.
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", str(INVOKE)]
    words = [*ignoring, "train", "--detach", "--engine", engine, *LONG]
    begun = subprocess.run(words, cwd=kit.clone, env=kit.env(), check=False)
    assert begun.returncode == 0
    until_iteration(kit, 45)
    follower = kit.start("train", "--engine", engine, *LONG)
    time.sleep(3)
    assert kit.result("stop")["state"] == "interrupted"
    output, _ = follower.communicate(timeout=SECONDS)
    assert follower.returncode == 130, output
    stage = record.load(run_dir(kit)).provenance.stages[-1]
    assert (stage.label, stage.outcome, stage.error) == ("train", "failed", "step.interrupted")
    check_nothing_left(kit)
    assert kit.run("attach").returncode == 130
    assert kit.run("stop").returncode == 0, "there is nothing to stop, which is no failure"
    seen = len(kit.iterations())
    result = kit.result("train", "--engine", engine, *LONG)
    numbers = kit.iterations()
    assert numbers[seen] in range(21, LAST, 20), "from a checkpoint, not from the start"
    assert numbers[-1] == LAST
    assert result["results"]["iterations"] == LAST


def test_a_job_without_a_driver_is_stopped_too(engine: str, kit: Kit) -> None:
    client = kit.start("train", "--engine", engine, *LONG)
    wait_for_iteration(kit, 5, client)
    client.kill()
    client.communicate()
    assert kit.result("stop", "--now")["state"] == "interrupted"
    stage = record.load(run_dir(kit)).provenance.stages[-1]
    assert (stage.outcome, stage.error) == ("failed", "step.interrupted")
    check_nothing_left(kit)


def test_what_a_detached_run_failed_with_is_told_to_whoever_asks(engine: str, kit: Kit) -> None:
    words = ("--engine", engine, "--set", "train.visual_select_layer=-9")
    kit.result("train", "--detach", *words)
    done = kit.run("attach")
    assert done.returncode == 1
    assert done.stderr.count("IndexError") >= 1
    assert "Traceback (most recent call last)" not in done.stdout
    told: Any = json.loads(kit.run("attach", "--json").stdout)
    assert (told["state"], told["error"]) == ("failed", "step.failed")
    assert kit.result("runs")[0]["state"] == "failed"
    assert "IndexError" in kit.run("logs").stdout
