"""The two jobs of grading: a throwaway check for each submission, and a worker that stays warm.

Both see a folder of their own, all of it read-only but the single files that they write, each with
a size that it cannot exceed. Neither is ever given a reference answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from llavakit import errors
from llavakit.engines.base import Engine, Job, Limits, Mount, Outcome
from llavakit.errors import AssignmentError, KitError, SubmissionError
from llavakit.host import network
from llavakit.host.grade_setup import NEEDED, Setup
from llavakit.host.handed import Handed
from llavakit.locks import file_sha256, write_json
from llavakit.phrases import Phrase, phrase
from llavakit.submission import CONFIGS, REPORT, REPORT_BYTES, TENSORS, Answered, Reason, Report

MIB = 1 << 20
OUTPUT_BYTES = MIB
"""Of what a job prints: a few lines are expected."""
ANSWER_BYTES = MIB
"""Of one line of results."""
PIDS = 128


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


def check(bench: Bench, handed: Handed, key: str) -> Report:
    """Check one submission in a container of its own; what passed lies in ``clean/KEY`` then.

    Raises EngineError, and AssignmentError ``check-failed`` and ``bad-answer``: no verdict.
    """
    if handed.refused is not None:
        return Report(reasons=(handed.refused,))
    with _scratch(bench, "check") as folder:
        write_json(
            folder / "inputs" / "declared.json",
            bench.setup.declared(handed.student).model_dump(mode="json"),
        )
        outputs = [folder / "runs" / f"{part}.safetensors" for part in TENSORS]
        outputs.append(folder / "runs" / REPORT)
        outcome, last = _run(bench.engine, _check_job(bench, folder, handed, outputs))
        if outcome.out_of_memory:
            return _refused("too-much-memory")
        if outcome.over == "seconds":
            return _refused("too-long")
        if outcome.exit_code != 0:
            known = errors.from_wire(last.rpartition("\n")[2])
            how = known.as_phrase() if known else _how(outcome)
            why = known.why if known else "" if outcome.over else last
            raise AssignmentError("check-failed", how=how, why=why)
        report = _report(folder / "runs" / REPORT)
        if not report.reasons:
            _keep(bench, folder / "runs", report, key)
        return report


def _check_job(bench: Bench, folder: Path, handed: Handed, outputs: list[Path]) -> Job:
    limits, shapes = bench.setup.assignment.limits, bench.setup.shapes.values()
    place = "inputs/submission" if handed.is_folder else "inputs/submission.zip"
    most = 4 * max(part.numbers for part in shapes) + 8 * MIB
    return Job(
        name="check",
        argv=(
            "-m",
            "llavakit.steps.sanitize",
            "--submission",
            place,
            "--declared",
            "inputs/declared.json",
            "--to",
            "runs",
        ),
        workspace=folder,
        env=network.without().env,
        mounts=(Mount(handed.path, place), *_writable(folder, outputs)),
        limits=Limits(
            memory_bytes=limits.check_memory_mib * MIB,
            pids=PIDS,
            shm_bytes=MIB,
            tmp_bytes=16 * MIB,
            file_bytes=most,
            output_bytes=OUTPUT_BYTES,
            seconds=limits.check_seconds,
        ),
        labels=bench.labels,
        requires=NEEDED,
        read_only=True,
    )


def _report(path: Path) -> Report:
    with path.open("rb") as file:
        text = file.read(REPORT_BYTES + 1)
    try:
        if len(text) > REPORT_BYTES:
            raise ValueError("too long")
        return Report.model_validate_json(text)
    except (ValidationError, ValueError) as error:
        raise AssignmentError("bad-answer", why=str(error)[:500]) from None


def _keep(bench: Bench, outputs: Path, report: Report, key: str) -> None:
    """Move the clean tensors to ``clean/KEY``, beside configs that are our own."""
    target = bench.clean / key
    partial = target.with_name(f".{key}.{secrets.token_hex(4)}")
    for part, shapes in bench.setup.shapes.items():
        (partial / part).mkdir(parents=True)
        file = outputs / f"{part}.safetensors"
        if file_sha256(file) != report.files[part]:
            raise AssignmentError("bad-answer", why=f"{part} has other bytes than its report says")
        shutil.move(file, partial / part / TENSORS[part])
        write_json(partial / part / CONFIGS[part], shapes.settings)
    _readable(partial)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def forget(bench: Bench, key: str) -> None:
    """Remove what a submission left for the worker."""
    shutil.rmtree(bench.clean / key, ignore_errors=True)


class Worker:
    """A running worker: a submission goes in, its answers come out."""

    def __init__(self, bench: Bench, gpus: str) -> None:
        """Start it and wait until it is ready. Raises EngineError and AssignmentError
        ``worker-failed``.
        """
        self._setup = bench.setup
        self._stack = _scratch(bench, "worker")
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
        self._next("ready", bench.setup.assignment.limits.load_seconds)

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
    _readable(folder / "inputs")
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
        mounts=(*bench.models, Mount(bench.clean, "inputs/clean"), *_writable(folder, [results])),
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


def _run(engine: Engine, job: Job) -> tuple[Outcome, str]:
    """Run a job to its end; its last lines."""
    running = engine.start(job)
    tail: deque[str] = deque(maxlen=10)
    try:
        tail.extend(running.lines())
    except BaseException:
        running.stop(1)
        raise
    finally:
        outcome = running.wait()
    return outcome, "\n".join(tail)


@contextmanager
def _scratch(bench: Bench, name: str) -> Iterator[Path]:
    """A folder for one job, with ``inputs`` and ``runs``; gone when the job is."""
    folder = bench.setup.folder / "jobs" / f"{name}-{secrets.token_hex(6)}"
    try:
        for part in ("inputs", "runs"):
            (folder / part).mkdir(parents=True)
        _readable(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _writable(folder: Path, files: list[Path]) -> tuple[Mount, ...]:
    """Empty files of ``folder`` that the job may write, and nothing beside them."""
    for file in files:
        file.touch()
    return tuple(
        Mount(file, file.relative_to(folder).as_posix(), read_only=False) for file in files
    )


def _readable(folder: Path) -> None:
    """Whoever the job runs as reads it, whatever the umask of this process is."""
    for path in (folder, *folder.rglob("*")):
        if path.stat().st_uid == os.getuid():
            path.chmod(0o755 if path.is_dir() else 0o644)


def _how(outcome: Outcome) -> str | Phrase:
    """How a job ended, in words."""
    if outcome.over == "output":
        return phrase("ended.output")
    return outcome.detail or phrase("ended.status", status=outcome.exit_code)


def _refused(name: str) -> Report:
    return Report(reasons=(Reason.of(SubmissionError(name)),))
