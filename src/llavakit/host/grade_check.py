"""A throwaway check for each submission: whatever parses a stranger's files runs in here."""

from __future__ import annotations

import secrets
import shutil
from collections import deque
from pathlib import Path

from pydantic import ValidationError

from llavakit import errors
from llavakit.engines.base import Engine, Job, Limits, Mount, Outcome
from llavakit.errors import AssignmentError, SubmissionError
from llavakit.host import network
from llavakit.host.grade_jobs import MIB, OUTPUT_BYTES, Bench, readable, scratch, writable
from llavakit.host.grade_setup import NEEDED
from llavakit.host.handed import Handed
from llavakit.locks import file_sha256, write_json
from llavakit.phrases import Phrase, phrase
from llavakit.submission import CONFIGS, REPORT, REPORT_BYTES, TENSORS, Reason, Report

PIDS = 128


def check(bench: Bench, handed: Handed, key: str) -> Report:
    """Check one submission in a container of its own; what passed lies in ``clean/KEY`` then.

    Raises EngineError, and AssignmentError ``check-failed`` and ``bad-answer``: no verdict.
    """
    if handed.refused is not None:
        return Report(reasons=(handed.refused,))
    with scratch(bench, "check") as folder:
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
        mounts=(Mount(handed.path, place), *writable(folder, outputs)),
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
    readable(partial)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def forget(bench: Bench, key: str) -> None:
    """Remove what a submission left for the worker."""
    shutil.rmtree(bench.clean / key, ignore_errors=True)


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


def _how(outcome: Outcome) -> str | Phrase:
    """How a job ended, in words."""
    if outcome.over == "output":
        return phrase("ended.output")
    return outcome.detail or phrase("ended.status", status=outcome.exit_code)


def _refused(name: str) -> Report:
    return Report(reasons=(Reason.of(SubmissionError(name)),))
