"""Who has a run in hand: the kernel's word counts, and a killed process leaves the truth."""

from __future__ import annotations

import subprocess
import threading
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from host.beside import process_of

from llavakit.errors import Interrupted, StepError
from llavakit.host import driver
from llavakit.host.driver import Driver, Seat

HOLDS = """
import sys, time
from pathlib import Path
from llavakit.host import driver
run = Path(sys.argv[1])
lock = driver.claim(run)
driver.Seat(run, driver.Driver("train")).tell(stage="train")
print("mine" if lock else "taken", flush=True)
time.sleep(60)
"""


def holding(run: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    """A process that drives ``run``; it has told so."""
    return process_of(HOLDS, run)


def test_a_run_has_one_driver_and_none_once_that_is_killed(tmp_path: Path) -> None:
    assert not driver.is_driven(tmp_path)
    with holding(tmp_path) as process:
        assert driver.is_driven(tmp_path)
        assert driver.claim(tmp_path) is None
        seen = driver.read(tmp_path)
        assert seen is not None
        assert (seen.task, seen.stage, seen.state, seen.pid) == (
            "train", "train", "running", process.pid,
        )  # fmt: skip
        assert seen.is_here
        process.kill()
        process.wait()
    assert not driver.is_driven(tmp_path)
    after = driver.read(tmp_path)
    assert after is not None
    assert after.state == "running", "nobody was there to say that it ended"
    assert not after.is_here
    lock = driver.claim(tmp_path)
    assert lock is not None
    lock.release()


def test_many_that_look_do_not_take_one_another_for_the_driver(tmp_path: Path) -> None:
    lock = driver.claim(tmp_path)
    assert lock is not None
    lock.release()
    seen = []

    def look() -> None:
        seen.extend(driver.is_driven(tmp_path) for _ in range(300))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(seen)


def test_a_recycled_number_is_no_driver_of_ours() -> None:
    """The number is that of a living process, which began at another time or in another boot."""
    me = Driver("train")
    assert me.is_here
    ticks, boot = me.started.split("@")
    assert boot
    assert not replace(me, started=f"{int(ticks) + 1}@{boot}").is_here
    assert not replace(me, started=f"{ticks}@another-boot").is_here
    assert not replace(me, host="elsewhere").is_here


@pytest.mark.parametrize(
    ("error", "interrupted", "state"),
    [(None, False, "finished"), (None, True, "interrupted"),
     (StepError("out-of-memory", step="train"), False, "failed"),
     (Interrupted("interrupted", step="train"), False, "interrupted")],
)  # fmt: skip
def test_how_it_ended_can_be_read(
    tmp_path: Path, error: StepError | None, interrupted: bool, state: str
) -> None:
    seat = Seat(tmp_path, Driver("train"))
    seat.end(error, interrupted=interrupted)
    assert driver.read(tmp_path) is None, "nothing was said before, so nothing is at its end"
    seat.tell(state="waiting", waits_for="somebody")
    seat.end(error, interrupted=interrupted)
    seen = driver.read(tmp_path)
    assert seen is not None
    assert (seen.state, seen.waits_for) == (state, "")
    failure = seen.failure
    assert (failure.id if failure else None) == (error.id if error else None)
    assert type(failure) is type(error)


def test_no_secret_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_0123456789")
    options = {"set": ["summary=hf_0123456789"], "json": True, "detach": True, "llm": ""}
    settings = {"recipe": "tiny", "engine": "auto", "gpus": "auto", "base": "", "lang": "en",
                "notify": "https://example.org/hook/s3cret"}  # fmt: skip
    order = driver.order("train", settings, options)
    assert order["options"] == {"set": ["summary=hf_0123456789"]}
    seat = Seat(tmp_path, Driver("train", order=order))
    seat.tell()
    seat.end(StepError("failed", step="x", how="hf_0123456789", log="l"))
    text = (tmp_path / driver.FILE).read_text()
    assert "0123456789" not in text
    assert "s3cret" not in text
    seen = driver.read(tmp_path)
    assert seen is not None
    assert seen.failure is not None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"task": 1, "pid": [}', "null"])
def test_a_file_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / driver.FILE).write_text(text)
    assert driver.read(tmp_path) is None


def test_a_full_disk_fails_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(driver, "write_atomic", full)
    Seat(tmp_path, Driver("train")).tell(stage="train")


def test_the_folder_of_a_run_of_which_nothing_was_made_goes(tmp_path: Path) -> None:
    run = tmp_path / "run"
    lock = driver.claim(run)
    assert lock is not None
    Seat(run, Driver("train")).tell()
    driver.tidy(run)
    lock.release()
    assert not run.exists()
    (run / "logs").mkdir(parents=True)
    (run / driver.LOG).write_text("why")
    driver.tidy(run)
    assert (run / driver.LOG).exists()
