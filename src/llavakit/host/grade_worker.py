"""The worker of a class: it holds the base model, and stays warm while adapters come and go."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections import deque
from pathlib import Path

from pydantic import ValidationError

from llavakit import errors
from llavakit.engines.base import Job, Limits, Mount
from llavakit.errors import AssignmentError, KitError
from llavakit.host import network
from llavakit.host.grade_jobs import MIB, OUTPUT_BYTES, Bench, readable, scratch, writable
from llavakit.host.grade_setup import NEEDED
from llavakit.phrases import phrase
from llavakit.submission import Answered

ANSWER_BYTES = MIB
"""Of one line of results."""


class Worker:
    """A running worker: a submission goes in, its answers come out."""

    def __init__(self, bench: Bench, gpus: str) -> None:
        """Start it and wait until it is ready. Raises EngineError and AssignmentError
        ``worker-failed``.
        """
        self._setup = bench.setup
        self._stack = scratch(bench, "worker")
        folder = self._stack.__enter__()
        self._results = folder / "runs" / "results.jsonl"
        self._read = 0
        self._tail: deque[str] = deque(maxlen=10)
        self._loaded = False
        self._late = False
        try:
            self._running = bench.engine.start(_worker_job(bench, folder, self._results, gpus))
        except BaseException:
            self._stack.__exit__(None, None, None)
            raise
        self._lines = self._running.lines()
        try:
            self._next("ready", bench.setup.assignment.limits.load_seconds)
        except BaseException:  # nobody else has it yet
            with contextlib.suppress(KitError):
                self.close()
            raise

    def ask(self, key: str) -> Answered:
        """The answers of the submission whose clean files lie in ``clean/KEY``.

        Raises AssignmentError ``worker-failed`` and ``bad-answer``, and what the step reports.
        """
        limits = self._setup.assignment.limits
        seconds = limits.answer_seconds + (0 if self._loaded else limits.load_seconds)
        self._running.send(json.dumps({"submission": key}))
        self._next("done", seconds)
        self._loaded = True
        with self._results.open("rb") as file:
            file.seek(self._read)
            line = file.read(ANSWER_BYTES + 1)
        self._read += len(line)
        try:
            found = Answered.model_validate_json(line)
        except (ValidationError, ValueError) as error:
            raise AssignmentError("bad-answer", why=str(error)[:500]) from None
        if found.submission != key or len(found.answers) != len(self._setup.assignment.questions):
            raise AssignmentError("bad-answer", why="answers of something else")
        return found

    def close(self) -> None:
        """End it, whatever state it is in."""
        try:
            self._running.stop()
            self._running.wait()
        finally:
            self._stack.__exit__(None, None, None)

    def _next(self, word: str, seconds: int) -> None:
        clock = threading.Timer(seconds, self._too_late)
        clock.start()
        try:
            for line in self._lines:
                if error := errors.from_wire(line):
                    raise error
                if line.startswith("{") and f'"{word}"' in line:
                    return
                self._tail.append(line)
        finally:
            clock.cancel()
        how = phrase("ended.late") if self._late else phrase("ended.early")
        raise AssignmentError("worker-failed", how=how, why="\n".join(self._tail))

    def _too_late(self) -> None:
        self._late = True
        with contextlib.suppress(KitError):  # the engine is gone, and the lines end with it
            self._running.stop(1)


def _worker_job(bench: Bench, folder: Path, results: Path, gpus: str) -> Job:
    setup = bench.setup
    for name in ("recipe.json", "questions.json", "pictures"):
        source, target = setup.folder / name, folder / "inputs" / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
    bench.clean.mkdir(exist_ok=True)
    bench.clean.chmod(0o755)
    readable(folder / "inputs")
    return Job(
        name="grade",
        argv=(
            "-m",
            "llavakit.steps.grade",
            "--recipe",
            "inputs/recipe.json",
            "--weights",
            bench.weights,
            "--questions",
            "inputs/questions.json",
            "--pictures",
            "inputs/pictures",
            "--clean",
            "inputs/clean",
            "--out",
            "runs/results.jsonl",
        ),
        workspace=folder,
        env=network.without().env,
        mounts=(*bench.models, Mount(bench.clean, "inputs/clean"), *writable(folder, [results])),
        gpus=gpus,
        limits=Limits(
            memory_bytes=bench.memory_bytes,
            pids=512,
            file_bytes=512 * MIB,
            output_bytes=16 * OUTPUT_BYTES,
            shm_bytes=None if gpus == "none" else 1 << 30,
        ),
        labels=bench.labels,
        interactive=True,
        requires=NEEDED,
        read_only=True,
    )
