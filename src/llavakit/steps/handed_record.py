"""A submission's run.json: does it record the training of these files, and the assignment's?

It is the student's own word, which anybody can write. What is checked is that it is whole and that
nothing in it contradicts the assignment or the files; who wants proof makes the run again
(`invoke reproduce`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llavakit import record
from llavakit.errors import RecordError, SubmissionError
from llavakit.record_form import Run
from llavakit.steps import handed_in, plain_configs
from llavakit.steps.handed_in import File
from llavakit.submission import TENSORS, CheckedRecord, Reason, Wanted, shown


def check(file: File, most: int, wanted: Wanted, handed: Mapping[str, str]) -> CheckedRecord:
    """``handed`` has the sha256 of every part's tensors as they were handed in."""
    try:
        plain_configs.read(file, most)  # so that the next reading meets nothing odd
        run = record.parse(handed_in.content(file, most), origin=shown(file.name))
    except (SubmissionError, RecordError) as error:
        unreadable = SubmissionError("record-unreadable", what=shown(error.why or error.what()))
        return CheckedRecord(verified=False, reasons=(Reason.of(unreadable),))
    found = [Reason.of(error) for error in _objections(run, wanted, handed)]
    results = run.results
    return CheckedRecord(
        verified=not found,
        reasons=tuple(found[:5]),
        seconds=round(sum(each for each in results.seconds if each is not None and each >= 0), 2),
        peak_gpu_mib=_count(results.peak_gpu_mib),
        peak_host_mib=_count(results.peak_host_mib),
    )


def _objections(run: Run, wanted: Wanted, handed: Mapping[str, str]) -> Iterator[SubmissionError]:
    identity = run.identity
    for what in _differences(identity.recipe, wanted.recipe, wanted.free):
        yield SubmissionError("record-differs", what=shown(what))
    if identity.lock != wanted.lock:
        yield SubmissionError("record-differs", what="docker/requirements.lock")
    if identity.seed != wanted.seed or identity.recipe.get("seed") != wanted.seed:
        yield SubmissionError("record-differs", what=f"seed {identity.seed} ≠ {wanted.seed}")
    for name, hashes, known in (
        ("weights", identity.weights, wanted.weights), ("data", identity.data, wanted.data),
    ):  # fmt: skip
        for file in sorted(known):
            if hashes.get(file) != known[file]:
                yield SubmissionError("record-differs", what=shown(f"{name}: {file}"))
    made = run.results.artefacts.get("convert", {})
    for part, sha256 in handed.items():
        names = [name for name in made if name.endswith(f"/{part}/{TENSORS[part]}")]
        if [made[name] for name in names] != [sha256]:
            yield SubmissionError("record-of-others", file=f"{part}/{TENSORS[part]}")
    done, losses = run.results.iterations, len(run.results.losses)
    if not done or done != losses or "train" not in run.results.artefacts:
        yield SubmissionError("record-unfinished", found=losses, wanted=done or "?")


def _differences(found: Any, wanted: Any, free: tuple[str, ...], key: str = "") -> Iterator[str]:
    """Dotted keys of the recipe that differ. Where the weights come from is told by their hashes,
    and what a run takes or is expected to show is no part of the experiment.
    """
    if key in ("seed", "weights", "rehearsal", "needs", "expected", "ask", "summary", *free):
        return
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name in sorted({*found, *wanted}):
            below = f"{key}.{name}".lstrip(".")
            yield from _differences(found.get(name), wanted.get(name), free, below)
    elif found != wanted:
        yield f"{key}: {found} ≠ {wanted}"


def _count(value: int | None) -> int | None:
    return value if value is not None and value >= 0 else None
