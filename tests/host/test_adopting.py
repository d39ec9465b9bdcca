"""What a cluster's job made of a run comes into the run's record, once."""

from __future__ import annotations

from pathlib import Path

from host.scripted import Play
from host.test_pipeline import pipeline
from host.test_plan import pretend_made

from llavakit import record
from llavakit.engines.base import Job
from llavakit.events import EventWriter


def never(job: Job) -> Play:
    raise AssertionError("nothing is to run")


def recorded(root: Path, run: str) -> list[tuple[str, str | None, str]]:
    kept = record.load(root / "runs" / run)
    return [(each.label, each.engine, each.outcome) for each in kept.provenance.stages]


def test_stages_that_ended_elsewhere_are_recorded_once(tmp_path: Path) -> None:
    made, _ = pipeline(tmp_path, never)
    pretend_made(made.plan, made.workspace, "models", "data", "train")
    for step in ("data", "train"):
        events = EventWriter(made.run_dir, step)
        events.emit("started")
        events.emit("finished")
    EventWriter(made.run_dir, "models").emit("started")  # killed: another run's job made them
    for _ in range(2):
        pipeline(tmp_path, never)[0].bring_up_to_date(["train"])
        assert recorded(tmp_path, made.plan.run_id) == [("data", None, "done"),
                                                        ("train", None, "done")]  # fmt: skip
    [data, train] = record.load(made.run_dir).provenance.stages
    assert data.started.endswith("Z") and train.seconds is not None and train.seconds < 60


def test_without_events_of_this_run_nothing_is_claimed(tmp_path: Path) -> None:
    made, _ = pipeline(tmp_path, never)
    pretend_made(made.plan, made.workspace, "models")
    made.bring_up_to_date(["models"])
    assert not (made.run_dir / record.FILE_NAME).exists()
