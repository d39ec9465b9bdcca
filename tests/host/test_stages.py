"""What a killed command left: its job is gone on with, its record completed, nothing done twice."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from host.scripted import Play, ScriptedEngine, ScriptedRunning
from host.test_driver import holding
from host.test_pipeline import pipeline, working

from llavakit import record
from llavakit.engines.base import Outcome
from llavakit.errors import Interrupted, KitError, StepError, WorkspaceError
from llavakit.events import EventWriter
from llavakit.host import driver, follow, nvidia, queueing, recording, turns
from llavakit.host.driver import Driver, Seat
from llavakit.host.nvidia import Gpu
from llavakit.host.pipeline import Pipeline
from llavakit.host.turns import Holder


class Finishing(ScriptedRunning):
    """A job that does its work when it is waited for."""

    def __init__(self, made: Pipeline, root: Path, stage: str, play: Play) -> None:
        super().__init__(play)
        self._work = lambda: working(root)(made.job(made.plan.stage(stage)))

    def wait(self) -> Outcome:
        outcome = super().wait()
        if outcome.exit_code in (0, None):
            self._work()
        return outcome


def killed(root: Path, stage: str, play: Play) -> tuple[Pipeline, ScriptedEngine]:
    """A workspace whose command was killed while ``stage`` ran, and whoever comes next."""
    first, engine = pipeline(root, working(root))
    first.bring_up_to_date(["models", "data"])
    attempt = recording.Attempt(
        first.plan.stage(stage), recording.Clock("2026-01-01T00:00:00Z"), engine,
        first.job(first.plan.stage(stage)),
    )  # fmt: skip
    recording.begin(first.plan, first.workspace, attempt)
    log = first.run_dir / "logs" / f"{stage}.log"
    log.write_text("an attempt of yesterday\nhalf a li")
    size = len("an attempt of yesterday\n")
    Seat(first.run_dir, Driver("train")).tell(stage=stage, output_from=size)
    second, engine = pipeline(root, working(root))
    engine.left = {stage: Finishing(second, root, stage, play)}
    return second, engine


def test_a_job_whose_command_was_killed_is_gone_on_with(tmp_path: Path) -> None:
    made, engine = killed(tmp_path, "train", Play(lines=("half a line", "the rest")))
    made.bring_up_to_date(["train"])
    assert engine.jobs == [], "no second one was started"
    assert engine.left["train"].waited
    stages = record.load(made.run_dir).provenance.stages
    assert [(each.label, each.outcome, each.exit_code) for each in stages] == [
        ("models", "done", 0), ("data", "done", 0), ("train", "done", 0),
    ]  # fmt: skip
    assert stages[-1].started == "2026-01-01T00:00:00Z"
    assert stages[-1].engine == "scripted"
    text = (made.run_dir / "logs" / "train.log").read_text()
    assert text == "an attempt of yesterday\nhalf a line\nthe rest\n", "each line once"


def test_the_stages_after_it_follow(tmp_path: Path) -> None:
    made, engine = killed(tmp_path, "train", Play())
    made.bring_up_to_date(["convert"])
    assert [job.name for job in engine.jobs] == ["convert"]
    assert record.load(made.run_dir).provenance.stages[-1].label == "convert"


def test_how_such_a_job_failed_is_said_and_recorded(tmp_path: Path) -> None:
    play = Play(lines=("boom",), outcome=Outcome(1, detail="no"))
    made, engine = killed(tmp_path, "train", play)
    with pytest.raises(StepError) as caught:
        made.bring_up_to_date(["train"])
    assert (caught.value.id, caught.value.why) == ("step.failed", "boom")
    stage = record.load(made.run_dir).provenance.stages[-1]
    assert (stage.outcome, stage.error, stage.exit_code) == ("failed", "step.failed", 1)
    assert engine.jobs == []


def test_ctrl_c_stops_a_job_that_was_gone_on_with(tmp_path: Path) -> None:
    made, engine = killed(tmp_path, "train", Play(interrupt=True, outcome=Outcome(143)))
    with pytest.raises(Interrupted):
        made.bring_up_to_date(["train"])
    assert engine.left["train"].stopped
    stage = record.load(made.run_dir).provenance.stages[-1]
    assert (stage.outcome, stage.error) == ("failed", "step.interrupted")
    seen = driver.read(made.run_dir)
    assert seen is not None
    assert seen.state == "interrupted"


def test_a_job_that_ended_while_nobody_looked_is_in_the_record(tmp_path: Path) -> None:
    """The command was killed, the training went on to its end, and then there is nothing to do."""
    made, engine = killed(tmp_path, "train", Play())
    engine.left = {}
    events = EventWriter(made.run_dir, "train")
    began = record.epoch("2026-01-01T00:00:00Z")
    for kind, after, fields in (
        ("machine", 1, {"python": "3.10.13", "cpu": "c"}),
        ("usage", 30, {"host_mib": 700}),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("llavakit.events.time.time", lambda after=after: began + after)
            events.emit(kind, **fields)
    working(tmp_path)(made.job(made.plan.stage("train")))
    todos = made.bring_up_to_date(["train"])
    assert {each.action for each in todos if each.stage.label == "train"} == {"up to date"}
    run = record.load(made.run_dir)
    stage = run.provenance.stages[-1]
    assert (stage.label, stage.outcome, stage.seconds, stage.exit_code) == (
        "train",
        "done",
        30,
        None,
    )
    assert stage.usage is not None
    assert stage.usage.host_mib == 700
    assert run.identity.python == "3.10.13"
    assert "train" in run.results.artefacts
    assert len(run.provenance.stages) == 3


def test_what_such_a_job_printed_and_how_it_ended_is_kept(tmp_path: Path) -> None:
    made, engine = killed(tmp_path, "train", Play(lines=("half a line", "the rest")))
    engine.over, engine.left = engine.left, {}
    working(tmp_path)(made.job(made.plan.stage("train")))
    made.bring_up_to_date(["train"])
    assert engine.jobs == []
    assert engine.over["train"].waited, "so that its container is removed"
    stage = record.load(made.run_dir).provenance.stages[-1]
    assert (stage.outcome, stage.exit_code) == ("done", 0)
    text = (made.run_dir / "logs" / "train.log").read_text()
    assert text == "an attempt of yesterday\nhalf a line\nthe rest\n"


def test_one_that_failed_meanwhile_is_recorded_and_done_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    play = Play(lines=("half a line",), outcome=Outcome(137, out_of_memory=True))
    made, engine = killed(tmp_path, "train", play)
    engine.over, engine.left = engine.left, {}
    made.bring_up_to_date(["train"])
    assert [job.name for job in engine.jobs] == ["train"]
    stages = record.load(made.run_dir).provenance.stages
    assert [(each.outcome, each.error, each.exit_code) for each in stages[2:]] == [
        ("failed", "step.out-of-memory", 137), ("done", None, 0),
    ]  # fmt: skip
    assert "had ended after its command was killed" in capsys.readouterr().err


def test_one_that_is_about_to_end_is_waited_for(tmp_path: Path) -> None:
    """Its result is there already; a container that nobody waits for would be left behind."""
    made, engine = killed(tmp_path, "train", Play())
    working(tmp_path)(made.job(made.plan.stage("train")))
    made.bring_up_to_date(["train"])
    assert engine.left["train"].waited
    assert record.load(made.run_dir).provenance.stages[-1].exit_code == 0


def test_what_began_with_other_inputs_is_not_gone_on_with(tmp_path: Path) -> None:
    made, _ = pipeline(tmp_path, working(tmp_path))
    other, _ = pipeline(tmp_path, working(tmp_path), "ask.max_new_tokens=7")
    ours, theirs = (each.labels(each.plan.stage("ask-before")) for each in (made, other))
    assert ours["run"] == theirs["run"]
    assert ours != theirs


# --- the same command while a driver lives ---


def test_the_same_command_follows_and_begins_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, engine = pipeline(tmp_path, working(tmp_path))
    seat_of_another(made, state="finished", after=1.5)
    made.bring_up_to_date(["models"])
    assert [job.name for job in engine.jobs] == ["models"], "what the other one left to do"
    assert "invoke train (pid" in capsys.readouterr().err


def seat_of_another(
    made: Pipeline, *, state: str, after: float, error: KitError | None = None
) -> threading.Thread:
    """Somebody else drives the run for a while, and says how it ended."""
    lock = driver.claim(made.run_dir)
    assert lock is not None
    seat = Seat(made.run_dir, Driver("train"))
    seat.tell(stage="train")

    def end() -> None:
        time.sleep(after)
        seat.tell(state=state, error=error.to_wire() if error else "")
        lock.release()

    thread = threading.Thread(target=end)
    thread.start()
    return thread


def test_what_the_other_one_failed_with_is_not_tried_again(tmp_path: Path) -> None:
    made, engine = pipeline(tmp_path, working(tmp_path))
    thread = seat_of_another(
        made, state="failed", after=1.5, error=StepError("out-of-memory", step="train")
    )
    with pytest.raises(StepError) as caught:
        made.bring_up_to_date(["models"])
    thread.join()
    assert caught.value.id == "step.out-of-memory"
    assert engine.jobs == []


def test_what_was_stopped_is_not_begun_again_by_who_only_followed(tmp_path: Path) -> None:
    made, engine = pipeline(tmp_path, working(tmp_path))
    thread = seat_of_another(made, state="interrupted", after=1.5)
    with pytest.raises(Interrupted) as caught:
        made.bring_up_to_date(["models"])
    thread.join()
    assert caught.value.exit_code == 130
    assert engine.jobs == []


def test_who_follows_takes_over_when_the_driver_is_killed(tmp_path: Path) -> None:
    made, engine = pipeline(tmp_path, working(tmp_path))
    with holding(made.run_dir) as process:
        threading.Timer(1.5, process.kill).start()
        made.bring_up_to_date(["models"])
    assert [job.name for job in engine.jobs] == ["models"]
    seen = driver.read(made.run_dir)
    assert seen is not None
    assert (seen.state, seen.pid) != ("running", process.pid)


def test_a_run_of_which_nothing_was_made_leaves_no_folder(tmp_path: Path) -> None:
    made, _ = pipeline(tmp_path, working(tmp_path), "needs.disk_gib=1e9")
    with pytest.raises(WorkspaceError):
        made.bring_up_to_date(["train"])
    assert list((tmp_path / "runs").iterdir()) == []


# --- stopping ---


def test_a_second_ctrl_c_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    class Slow(ScriptedRunning):
        def stop(self, grace_seconds: float = 10.0) -> None:
            asked.append(grace_seconds)
            if grace_seconds:
                raise KeyboardInterrupt

    follow.stop(Slow(Play()))
    assert asked == [follow.STOP_SECONDS, 0]


# --- turns on a GPU that no machine has ---

CARD = Gpu(0, "GPU-0a0a0a0a-1111-2222-3333-444444444444", "NVIDIA L20", "550.54.15", 46068, 45000,
           (8, 9))  # fmt: skip


def on_a_gpu(made: Pipeline, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "gpus", lambda: [CARD])
    monkeypatch.setattr(turns, "POLL_SECONDS", 0.05)
    made.settings = made.settings.model_copy(update={"gpus": "0", "gpu_locks": folder})


def test_two_trainings_take_turns_and_the_second_says_for_whom_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_once: list[str] = []
    most = 0

    def slow(root: Path) -> object:
        def play(job: object) -> Play:
            nonlocal most
            at_once.append(str(root))
            most = max(most, len(at_once))
            time.sleep(0.4)
            at_once.remove(str(root))
            return working(root)(job)  # type: ignore[arg-type]

        return play

    both = []
    for name in ("a", "b"):
        made, _ = pipeline(tmp_path / name, slow(tmp_path / name))  # type: ignore[arg-type]
        on_a_gpu(made, tmp_path / "gpus", monkeypatch)
        both.append(made)
    states: list[str] = []
    threads = [threading.Thread(target=made.bring_up_to_date, args=(["train"],)) for made in both]
    most = 0
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for made in both:
            if seen := driver.read(made.run_dir):
                states.append(f"{seen.state} {seen.stage} {seen.waits_for.partition(',')[0]}")
        time.sleep(0.02)
    for thread in threads:
        thread.join()
    assert all(record.load(made.run_dir).provenance.stages[-1].outcome == "done" for made in both)
    assert "waiting train train" in states
    said = capsys.readouterr().err
    assert f"{CARD.uuid} is in use by train, tiny-" in said


def test_the_memory_is_looked_at_when_the_turn_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, engine = pipeline(tmp_path, working(tmp_path))
    on_a_gpu(made, tmp_path / "gpus", monkeypatch)
    looked: list[bool] = []
    monkeypatch.setattr(
        Pipeline, "check_gpu",
        lambda self, wanted, *, has_turn=False: looked.append(has_turn),
    )  # fmt: skip
    answers = iter([True, True, False])
    monkeypatch.setattr(queueing, "goes_on", lambda holder: next(answers, False))
    before = Holder("train, other", "docker", "/w", {"run": "other"})
    with turns.turn(tmp_path / "gpus", CARD.uuid, before, lambda _: False, lambda _: None):
        pass  # its command ended; its job, says the engine, did not
    made.bring_up_to_date(["train"])
    assert looked == [False, True]
    assert [job.name for job in engine.jobs] == ["models", "data", "train"]


def test_a_gpu_that_another_run_uses_is_not_called_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = pipeline(tmp_path, working(tmp_path), "train.llm_quantization=nf4",
                       "needs.gpu_mib=44447")  # fmt: skip
    on_a_gpu(made, tmp_path / "gpus", monkeypatch)
    monkeypatch.setattr(nvidia, "gpus", lambda: [replace(CARD, free_mib=900)])
    monkeypatch.setattr(nvidia, "holders", lambda gpu: [])
    monkeypatch.setattr("llavakit.host.environment.has_nvidia_gpu", lambda: True)
    monkeypatch.setattr("llavakit.host.environment.gpu_access", lambda settings: "cdi")
    wanted = [made.plan.stage("train")]
    with pytest.raises(StepError) as caught:
        made.check_gpu(wanted)
    assert caught.value.id == "step.busy-gpu"
    before = Holder("train, other", "docker", "/w", {"run": "other"})
    args = (tmp_path / "gpus", CARD.uuid, before, lambda _: False, lambda _: None)
    with turns.turn(*args):
        made.check_gpu(wanted)
        with pytest.raises(StepError):
            made.check_gpu(wanted, has_turn=True)


@pytest.mark.parametrize(
    ("gpus", "ranks", "names"),
    [("none", 2, []), ("all", 1, ["GPU-b"]), ("all", 2, ["GPU-a", "GPU-b"]),
     ("1,0", 1, ["GPU-a"]), ("1", 4, ["GPU-a"]), ("7", 1, [])],
)  # fmt: skip
def test_turns_are_on_the_gpus_that_are_used_in_one_order_for_all(
    gpus: str, ranks: int, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs that take several in different orders would wait for one another."""
    cards = [replace(CARD, index=0, uuid="GPU-b"), replace(CARD, index=1, uuid="GPU-a")]
    monkeypatch.setattr(nvidia, "gpus", lambda: cards)
    assert queueing.used(gpus, "cdi", ranks) == names


def test_a_run_without_a_gpu_takes_no_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = pipeline(tmp_path, working(tmp_path))
    on_a_gpu(made, tmp_path / "gpus", monkeypatch)
    made.settings = made.settings.model_copy(update={"gpus": "none"})
    made.bring_up_to_date(["train"])
    assert not (tmp_path / "gpus").exists()


def test_the_job_names_itself_in_the_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By these labels and this folder the engine finds it when its command was killed."""
    made, _ = pipeline(tmp_path, working(tmp_path))
    on_a_gpu(made, tmp_path / "gpus", monkeypatch)
    made.bring_up_to_date(["train"])
    body = json.loads((tmp_path / "gpus" / f"{CARD.uuid}.lock").read_text())
    assert body["labels"] == made.labels(made.plan.stage("train"))
    assert (body["engine"], body["workspace"]) == ("scripted", str(tmp_path))
