"""`invoke attach`, `logs`, `stop` and `runs`, for runs that other processes drive."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from host.beside import process_of
from host.test_driver import holding
from host.test_pipeline import DEFAULTS, pipeline, working

from llavakit.errors import Interrupted, KitError, RecordError, StepError
from llavakit.events import EventWriter
from llavakit.host import attaching, detaching, driver, jobs, runs, settings
from llavakit.host.console import Screen
from llavakit.host.driver import Driver, Seat
from llavakit.host.following import Tail
from llavakit.host.settings import Settings
from llavakit.workspace import Workspace, busy

DRIVES = """
import sys, time
from pathlib import Path
from llavakit.host import driver
run, state = Path(sys.argv[1]), sys.argv[2]
lock = driver.claim(run)
seat = driver.Seat(run, driver.Driver("train", stage="train", detached=True))
seat.tell()
print("mine", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    if state == "stubborn":  # it waits for its job to end cleanly
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            state = "interrupted"
    seat.tell(state=state)
"""


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "of_run", lambda *_: [])


def configured(root: Path) -> Settings:
    return settings.resolve(DEFAULTS, {"workspace": str(root)})


def driven(run: Path, state: str = "interrupted") -> AbstractContextManager[subprocess.Popen[str]]:
    """A process that drives ``run`` until it is interrupted; killed at the end."""
    run.mkdir(parents=True, exist_ok=True)
    return process_of(DRIVES, run, state)


# --- stop ---


@pytest.mark.parametrize(("now", "state"), [(False, "interrupted"), (True, "stubborn")])
def test_stop_presses_the_driver_s_ctrl_c_and_waits_for_its_end(
    tmp_path: Path, now: bool, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "runs" / "tiny-1"
    with driven(run, state):
        assert attaching.stop(configured(tmp_path), "", Screen(), now=now) == 0
        assert not driver.is_driven(run)
    said = capsys.readouterr()
    assert "tiny-1: interrupted" in said.out
    assert "invoke train" in said.err


def test_a_driver_of_another_host_or_boot_is_not_signalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number may be that of anybody's process here."""
    run = tmp_path / "runs" / "tiny-1"
    monkeypatch.setattr(Driver, "interrupt", lambda self: pytest.fail("it was signalled"))
    with driven(run):
        seen = driver.read(run)
        assert seen is not None
        for change in ({"host": "elsewhere"}, {"started": "1@another-boot"}):
            Seat(run, replace(seen, **change)).tell()
            with pytest.raises(StepError) as caught:
                attaching.stop(configured(tmp_path), "tiny-1", Screen(), now=False)
            assert caught.value.id == "step.not-stopped"


def test_a_driver_that_does_not_end_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attaching, "STOP_SECONDS", 0.5)
    monkeypatch.setattr(Driver, "interrupt", lambda self: None)
    with driven(tmp_path / "runs" / "tiny-1"), pytest.raises(StepError) as caught:
        attaching.stop(configured(tmp_path), "", Screen(), now=False)
    assert "--now" in caught.value.remedy()


def test_there_may_be_nothing_to_stop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, _ = pipeline(tmp_path, working(tmp_path))
    made.bring_up_to_date(["models"])
    assert attaching.stop(configured(tmp_path), "", Screen(), now=False) == 0
    assert "is not running" in capsys.readouterr().err


# --- attach ---


def test_attach_shows_what_it_says_and_its_progress(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llavakit.host.progress.PLAIN_SECONDS", 0.0)
    run = tmp_path / "runs" / "tiny-1"
    (run / "logs").mkdir(parents=True)
    log = run / driver.LOG
    log.write_text("what an earlier one said\n")
    lock = driver.claim(run)
    assert lock is not None
    seat = Seat(run, Driver("train", detached=True, stage="train", log_from=log.stat().st_size))
    seat.tell()
    EventWriter(run, "train").emit("iteration", n=3, of=80, loss=1.0)

    def work() -> None:
        time.sleep(0.6)
        with log.open("a") as file:
            file.write("train   not made yet\nhalf a li")
        EventWriter(run, "train").emit("iteration", n=4, of=80, loss=0.5)
        time.sleep(0.6)
        with log.open("a") as file:
            file.write("ne\n")
        seat.end(None)
        lock.release()

    thread = threading.Thread(target=work)
    thread.start()
    assert attaching.attach(configured(tmp_path), "", Screen()) == 0
    thread.join()
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert "what an earlier one said" not in said.err
    assert [line for line in lines if "made yet" in line or "half" in line] == [
        "train   not made yet", "half a line",
    ]  # fmt: skip
    assert "iteration 3/80" in said.err, "where it stands is shown at once"
    assert "iteration 4/80" in said.err
    assert "tiny-1: finished" in said.out


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StepError("out-of-memory", step="train"), 1),
        (Interrupted("interrupted", step="train"), 130),
    ],
)
def test_its_exit_status_is_that_of_the_run(tmp_path: Path, error: KitError, status: int) -> None:
    run = tmp_path / "runs" / "tiny-1"
    seat = Seat(run, Driver("train", detached=True))
    seat.tell()
    seat.end(error)
    assert attaching.attach(configured(tmp_path), "tiny-1", Screen()) == status
    with pytest.raises(KitError) as caught:
        attaching.attach(configured(tmp_path), "tiny-1", Screen(json_output=True))
    assert (caught.value.id, caught.value.exit_code) == (error.id, status)


def test_ctrl_c_leaves_the_run_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    run = tmp_path / "runs" / "tiny-1"
    with driven(run):
        monkeypatch.setattr("llavakit.host.following.time.sleep", pressed)
        with pytest.raises(Interrupted) as caught:
            attaching.attach(configured(tmp_path), "", Screen())
        monkeypatch.undo()
        assert driver.is_driven(run)
    assert (caught.value.id, caught.value.exit_code) == ("step.detached", 130)
    assert "invoke stop tiny-1" in caught.value.remedy()


def test_a_job_whose_driver_was_killed_gets_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "runs" / "tiny-1"
    order = {"task": "train", "settings": {}, "options": {}, "folder": "/"}
    lock = driver.claim(run)
    assert lock is not None
    Seat(run, Driver("train", order=order)).tell(stage="train")
    lock.release()
    spawned: list[Any] = []
    monkeypatch.setattr(detaching, "spawn", lambda *args: spawned.append(args[1:]))
    assert attaching.attach(configured(tmp_path), "", Screen()) == 130, "its job is gone, too"
    assert spawned == []
    with busy(run):
        attaching.attach(configured(tmp_path), "", Screen())
        assert spawned == [(order, run)]
        Seat(run, Driver("train")).tell(stage="train")
        with pytest.raises(StepError) as caught:
            attaching.attach(configured(tmp_path), "", Screen())
    assert caught.value.id == "step.no-driver"


# --- which run, and its state ---


def test_a_run_that_is_alive_is_meant_before_a_newer_one(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    with pytest.raises(RecordError):
        attaching.pick(place, "")
    for name in ("old", "new"):
        (place.runs / name).mkdir(parents=True)
        time.sleep(0.02)
    assert attaching.pick(place, "").name == "new"
    with holding(place.runs / "old"):
        os.utime(place.runs / "new")
        assert attaching.pick(place, "").name == "old"
        assert attaching.pick(place, "new").name == "new"
    (place.runs / "old" / "nodes" / "1").mkdir(parents=True)
    for name in ("old/nodes/1", str(place.runs / "old/nodes/1")):
        assert jobs.run_id(place, attaching.pick(place, name)) == "old/nodes/1"
    (tmp_path / "elsewhere").mkdir()
    for name in ("neither", str(tmp_path / "elsewhere"), ".."):
        with pytest.raises(RecordError) as caught:
            attaching.pick(place, name)
        assert caught.value.id == "record.no-run"


def test_states_of_a_run(tmp_path: Path) -> None:
    made, _ = pipeline(tmp_path, working(tmp_path))
    made.bring_up_to_date(["models"])
    run = made.run_dir
    assert runs.describe(run)["state"] == "finished"
    (run / driver.FILE).unlink()
    assert runs.describe(run)["state"] == "finished", "of a record of before there were drivers"
    lock = driver.claim(run)
    assert lock is not None
    seat = Seat(run, Driver("train", stage="train", engine="docker", gpus=[1]))
    seat.tell(state="waiting", waits_for="somebody")
    EventWriter(run, "train").emit("iteration", n=7, of=80, loss=1.0)
    seen = runs.describe(run)
    assert [seen[name] for name in ("state", "stage", "waits_for", "engines", "gpus", "iterations",
                                    "total")] == [
        "waiting", "train", "somebody", ["docker"], [1], 7, 80,
    ]  # fmt: skip
    assert seen["since"] == seat.driver.since
    seat.tell(state="running", waits_for="")
    assert runs.describe(run)["state"] == "running"
    lock.release()
    assert runs.describe(run)["state"] == "interrupted", "its driver was killed"
    with busy(run):
        seen = runs.describe(run)
    assert (seen["state"], seen["driver"]) == ("running", None), "and its job goes on"
    seat.end(StepError("failed", step="train", how="x", log="l"))
    assert runs.describe(run)["state"] == "failed"


def test_runs_are_listed_in_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run = tmp_path / "runs" / "tiny-01234567"
    lock = driver.claim(run)
    assert lock is not None
    Seat(run, Driver("train", stage="train", engine="docker", gpus=[0])).tell(
        state="waiting", waits_for="train, tiny-2 (process 7, me), /w, 2026-01-01T00:00:00Z"
    )
    for lang, word in (("en", "waiting"), ("zh", "等待中")):
        runs.report(Workspace(tmp_path), Screen(lang=lang))
        said = capsys.readouterr()
        assert word in said.out
        assert "docker, GPU 0" in said.out
        assert "train, tiny-2" in said.err
    lock.release()


# --- logs ---


def test_logs_are_written_in_their_order_and_followed_to_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "runs" / "tiny-1"
    (run / "logs").mkdir(parents=True)
    (run / "logs" / "train.log").write_text("one\n")
    (run / "logs" / "models.log").write_text("weights\n")
    os.utime(run / "logs" / "models.log", (1, 1))
    place = Workspace(tmp_path)
    assert attaching.logs(place, "", Screen(), goes_along=False) == 0
    assert capsys.readouterr().out == "== models ==\nweights\n== train ==\none\n"
    lock = driver.claim(run)
    assert lock is not None

    def work() -> None:
        time.sleep(0.5)
        with (run / "logs" / "train.log").open("a") as file:
            file.write("two\n")
        lock.release()

    thread = threading.Thread(target=work)
    thread.start()
    attaching.logs(place, "", Screen(), goes_along=True)
    thread.join()
    assert capsys.readouterr().out == "== models ==\nweights\n== train ==\none\ntwo\n"
    screen = Screen(json_output=True)
    attaching.logs(place, "", screen, goes_along=False)
    screen.close(0)
    assert set(json.loads(capsys.readouterr().out)["logs"]) == {"models", "train"}


def test_a_tail_reads_whole_lines_and_notices_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    tail = Tail(path)
    assert tail.read() == []
    path.write_bytes("图片\nhal".encode()[:-1])
    assert tail.read() == ["图片"]
    with path.open("a") as file:
        file.write("al\n")
    assert tail.read() == ["haal"]
    path.write_text("a\n")
    assert tail.read() == ["a"]
