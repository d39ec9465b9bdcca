"""Put into a run's record what others made: the stages that a cluster's job brought up to date.

Steps write no record, the host does. What they leave are outputs with locks, and events; a stage
counts as this run's own when this run's events say that it ended.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from llavakit import record
from llavakit.events import Event
from llavakit.host import recording, told
from llavakit.host.plan import Plan, Stage
from llavakit.workspace import Workspace


def adopt(plan: Plan, workspace: Workspace, stages: Iterable[Stage]) -> list[str]:
    """Record those of ``stages``, which are up to date, that the record lacks; their labels."""
    run_dir = workspace.root / plan.run
    kept = (record.read(run_dir) or {}).get("provenance", {}).get("stages", [])
    known = {(each["label"], each["key"]) for each in kept if each["outcome"] == "done"}
    lacking = [stage for stage in stages if (stage.label, stage.key) not in known]
    events = told.read(run_dir) if lacking and run_dir.is_dir() else []
    adopted = []
    for stage in lacking:
        clock = _clock(events, stage.step)
        if clock is not None:
            recording.keep(plan, workspace, recording.Attempt(stage, clock))
            adopted.append(stage.label)
    return adopted


def _clock(events: Sequence[Event], step: str) -> recording.Clock | None:
    """When ``step`` last began and how long it took; None where it did not end well."""
    began = ended = None
    start = 0.0
    for event in events:
        if event.step == step and event.kind == "started":
            start = event.time
        elif event.step == step and event.kind == "finished":
            began, ended = start, event.time
    if began is None or ended is None:
        return None
    return recording.Clock(record.at(began), began, time.monotonic() - (ended - began))
