"""The kit's commands as a script types them, and the results as they come."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from measuring.sampler import Sampler, size
from measuring.tables import markdown

KIT = Path(__file__).resolve().parents[2]
TIDY_SECONDS = 30


class OutOfTimeError(Exception):
    """--budget is over."""


class Commands:
    """The options, the results so far, and the commands."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.workspace = Path(args.workspace).absolute()
        self.workspace.mkdir(parents=True, exist_ok=True)
        self.results = Path(args.results or self.workspace / "measured").absolute()
        self.results.mkdir(parents=True, exist_ok=True)
        self.ends = time.monotonic() + args.budget if args.budget else None
        self.sampler = Sampler(self.workspace, self.results / "samples.jsonl")
        self.sampler.start()

    # --- results

    def write(self, **row: Any) -> None:
        """Append a line of results, and make the tables anew."""
        row = {"time": round(time.time(), 2), "recipe": self.args.recipe, **row}
        with (self.results / "results.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        (self.results / "results.md").write_text(markdown(self.rows()), encoding="utf-8")
        shown = {
            name: value for name, value in row.items() if name not in ("losses", "answers", "rows")
        }
        sys.stdout.write(json.dumps(shown, ensure_ascii=False)[:1500] + "\n")
        sys.stdout.flush()

    def rows(self) -> list[dict[str, Any]]:
        lines = (self.results / "results.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def first_begun(self, phase: str, run: str) -> float:
        """When this phase first began on this run: an earlier call may have left it running."""
        begun = [
            row["time"] for row in self.rows()
            if row["event"] == "begin" and row["phase"] == phase and row.get("run") == run
        ]  # fmt: skip
        return float(min(begun, default=time.time()))

    # --- commands

    def invoke(self, task: str, *more: str, weights: bool = True) -> list[str]:
        """The command line of a task."""
        args = self.args
        words = [sys.executable, "-m", "invoke", task, "--workspace", str(self.workspace)]
        words += ["--recipe", args.recipe]
        words += ["--engine", args.engine] if args.engine else []
        words += ["--weights", args.weights] if args.weights and weights else []
        words += ["--data", args.data] if args.data else []
        if args.gpus and task not in ("models", "data"):
            words += ["--gpus", args.gpus]
        # `set`s of the command line first, so that what a phase adds has the last word.
        return [*words, *(word for each in args.set for word in ("--set", each)), *more]

    def start(self, words: list[str], **options: Any) -> subprocess.Popen[str]:
        with (self.results / "commands.log").open("a", encoding="utf-8") as log:
            log.write(f"\n$ {shlex.join(words)}\n")
            log.flush()
            return subprocess.Popen(
                words, cwd=KIT, text=True, stdout=subprocess.PIPE, stderr=log,
                start_new_session=True, **options,
            )  # fmt: skip

    def run(
        self, words: list[str], *, on_time_over: int = signal.SIGKILL, **options: Any
    ) -> dict[str, Any]:
        """Run to the end; how it ended, how long it took, the peaks, and the JSON it printed.

        When the time is over it gets a signal. After SIGKILL, which ends the client alone,
        OutOfTimeError is raised; after another one there is what it printed.
        """
        before = self.sampler.begin()
        began = time.monotonic()
        process = self.start(words, **options)
        printed: list[str] = []
        reader = threading.Thread(target=lambda: printed.extend(process.stdout or ()), daemon=True)
        reader.start()
        self.wait(process, on_time_over)
        reader.join(5)
        return {
            "status": process.returncode,
            "seconds": round(time.monotonic() - began, 1),
            "before": before,
            "peaks": self.sampler.peaks(),
            "output": as_json("".join(printed)),
        }

    def wait(self, process: subprocess.Popen[str], on_time_over: int = signal.SIGKILL) -> None:
        """Until it ends; see :meth:`run`."""
        while process.poll() is None:
            try:
                self.check_time()
            except OutOfTimeError:
                process.send_signal(on_time_over)
                if on_time_over == signal.SIGKILL:
                    process.wait()
                    raise
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(TIDY_SECONDS)
                process.kill()
            time.sleep(0.1)

    def check_time(self) -> None:
        if self.ends is not None and time.monotonic() > self.ends:
            raise OutOfTimeError

    def plan(self, *more: str) -> dict[str, Any]:
        """What `invoke train --plan --json` says."""
        words = self.invoke("train", *more, "--plan", "--json")
        done = subprocess.run(words, cwd=KIT, text=True, capture_output=True, check=False)
        found = as_json(done.stdout)
        if done.returncode or not isinstance(found, dict):
            raise RuntimeError(f"--plan failed: {(done.stderr or done.stdout)[-2000:]}")
        return found

    def kill_jobs(self, run: str) -> list[str]:
        """SIGKILL to every job of a run, whatever the engine; what was killed."""
        killed = []
        if shutil.which("docker"):
            label = f"label=io.llavakit.run={run}"
            found = output(["docker", "ps", "-q", "--filter", label]).split()
            killed += [f"container {each}" for each in found]
            if found:
                output(["docker", "kill", "--signal", "KILL", *found])
        for note in (self.workspace / "cache" / "jobs").glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                body = json.loads(note.read_text(encoding="utf-8"))
                if body["labels"].get("run") == run:
                    os.killpg(body["pid"], signal.SIGKILL)
                    killed.append(f"process {body['pid']}")
        return killed

    def until_iteration(
        self, process: subprocess.Popen[str], run: str, number: int, since: float
    ) -> list[dict[str, Any]]:
        """Wait for an iteration; the events until then. Raises RuntimeError if it ended before."""
        drain = threading.Thread(target=lambda: list(process.stdout or ()), daemon=True)
        drain.start()
        while True:
            seen = self.iterations(run, since)
            if any(event["n"] >= number for event in seen):
                return seen
            if process.poll() is not None:
                raise RuntimeError(
                    f"it ended (status {process.returncode}) after {len(seen)} iterations"
                )
            try:
                self.check_time()
            except OutOfTimeError:
                process.kill()
                self.kill_jobs(run)
                raise
            time.sleep(0.05)

    def iterations(self, run: str, since: float = 0.0) -> list[dict[str, Any]]:
        return [event for event in self.events(run, since) if event["kind"] == "iteration"]

    def events(self, run: str, since: float = 0.0) -> list[dict[str, Any]]:
        path = self.workspace / "runs" / run / "events.jsonl"
        with contextlib.suppress(FileNotFoundError):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
            found = [json.loads(line) for line in lines if line.endswith("}\n")]
            return [event for event in found if event["step"] == "train" and event["time"] >= since]
        return []

    def sizes(self) -> dict[str, float]:
        """GiB of the workspace's folders, and of what lies in the runs."""
        folders = [self.workspace / name for name in ("models", "data", "runs", "cache")]
        folders += sorted((self.workspace / "runs").glob("*/*/"))
        found = {str(each.relative_to(self.workspace)): size(each) for each in folders}
        return {name: round(value / 2**30, 3) for name, value in found.items() if value}


def output(words: list[str]) -> str:
    """What a command prints; empty when it is not there or does not answer."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            words, cwd=KIT, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout
    return ""


def as_json(text: str) -> Any:
    """JSON where it is that, else the end of the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text[-4000:]
