"""What steps told while they ran, read from a run's events: machines, peaks, times."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llavakit.events import Event, EventReader
from llavakit.record_form import Machine, Rank, Usage

CLOCK_SLACK = 1.0
"""Seconds: the clock of a job and that of the command are one, but for rounding."""


def read(run_dir: Path) -> list[Event]:
    """All events of a run, as far as they were written."""
    try:
        return EventReader(run_dir, from_start=True).read()
    except OSError:
        return []


def of_stage(events: Iterable[Event], step: str, since: float) -> dict[str, Any]:
    """``machine`` and ``usage`` of the process that ran ``step`` after ``since`` (epoch)."""
    told: dict[str, Any] = {"machine": None, "usage": None}
    for event in events:
        if event.step == step and event.time >= since - CLOCK_SLACK and event.kind in told:
            told[event.kind] = _as(event)
    return told


def trained_on(events: Iterable[Event]) -> list[dict[str, Any]]:
    """The machines that trained, each once: those of the iterations that count. One whose
    iterations were all done again, by a training that started over, left nothing in the weights.
    """
    machine: dict[str, Any] | None = None
    of_iteration: dict[int, dict[str, Any] | None] = {}
    for event in (event for event in events if event.step == "train"):
        if event.kind == "started":
            machine = None
        elif event.kind == "machine":
            machine = _as(event) or machine
        elif event.kind == "iteration":
            of_iteration[int(event.fields["n"])] = machine
    machines = [of_iteration[n] for n in sorted(of_iteration)]
    return [one for i, one in enumerate(machines) if one and one not in machines[:i]]


def ranks(events: Iterable[Event]) -> list[dict[str, Any]]:
    """The ranks of the last training that several ended together; empty where one trained."""
    found: list[dict[str, Any]] = []
    for event in events:
        if event.step == "train" and event.kind == "ranks":
            with contextlib.suppress(ValidationError, TypeError):
                told = [Rank.model_validate(each) for each in event.fields["ranks"]]
                found = [each.model_dump(mode="json") for each in told]
    return found


def training(events: Sequence[Event], iterations: int) -> dict[str, Any]:
    """Times and peaks of a training of so many iterations; what nobody told is null.

    An iteration's time is that since the one before it in the same process; of one that was done
    twice, because a training was killed, the last counts.
    """
    seconds: list[float | None] = [None] * iterations
    memory: list[int | None] = [None] * iterations
    before: Event | None = None
    peaks = []
    for event in (event for event in events if event.step == "train"):
        if event.kind == "started":
            before = None
        elif event.kind == "usage" and (usage := _as(event)):
            peaks.append(usage["host_mib"] or 0)
        elif event.kind == "iteration" and 1 <= (n := int(event.fields["n"])) <= iterations:
            follows = before is not None and int(before.fields["n"]) == n - 1
            took = event.time - before.time if before is not None and follows else None
            seconds[n - 1] = round(took, 4) if took is not None and took >= 0 else None
            memory[n - 1] = event.fields.get("memory_mib")
            before = event
    told = (
        rank["usage"] or {} for rank in ranks(events)
    )  # the process that starts them needs less
    peaks += [usage.get("host_mib") or 0 for usage in told]
    known = [each for each in seconds if each is not None]
    used = [each for each in memory if each is not None]
    return {
        "seconds": seconds,
        "gpu_mib": memory if used else [],
        "seconds_per_iteration": round(statistics.median(known), 4) if known else None,
        "peak_gpu_mib": max(used) if used else None,
        "peak_host_mib": max(peaks, default=0) or None,
    }


def _as(event: Event) -> dict[str, Any] | None:
    """A machine or a usage; None where a step said something else."""
    form = Machine if event.kind == "machine" else Usage
    try:
        return form.model_validate(event.fields).model_dump(mode="json")
    except ValidationError:
        return None
