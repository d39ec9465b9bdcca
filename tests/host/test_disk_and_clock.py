"""A disk that is full or read-only where the host writes, and a clock that jumps backwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from host.test_debugging import INVOKE
from records import body

from llavakit import record
from llavakit.errors import WorkspaceError
from llavakit.events import Event
from llavakit.host import recording, told
from llavakit.host.disk import disk_errors
from llavakit.host.settings import KIT
from llavakit.locks import StepLock
from llavakit.record_form import Run


def mounted(folder: Path, options: str) -> None:
    folder.mkdir(exist_ok=True)
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root can mount a file system of its own")
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    mounted(folder, "size=256k")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="space"):
        while True:
            file.write(b"x" * 4096)


def test_a_full_disk_keeps_the_record_that_was_there(small: Path) -> None:
    (small / record.FILE_NAME).write_text(json.dumps(body()))
    kept = record.Record(small)
    fill(small)
    with pytest.raises(WorkspaceError) as caught, disk_errors(small):
        kept.save()
    assert caught.value.id == "workspace.disk-full"
    assert record.load(small) == Run.model_validate(body())
    assert sorted(path.name for path in small.iterdir()) == ["filler", record.FILE_NAME]


def test_a_full_disk_keeps_the_lock_that_was_there(small: Path) -> None:
    (small / "w.bin").write_text("w")
    lock = StepLock(small / "lock.json")
    lock.write("models", "key", [small / "w.bin"])
    fill(small)
    with pytest.raises(OSError, match="space"):
        lock.write("models", "other", [small / "w.bin"], facts="x" * 10_000)
    assert lock.check("key").fresh


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "ro"
    mounted(folder, "size=1m,ro")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize(("lang", "words"), [("en", "cannot be written"), ("zh", "无法写入工作区")])
def test_a_read_only_workspace_is_refused_in_words(read_only: Path, lang: str, words: str) -> None:
    argv = [INVOKE, "data", "--engine", "local", "--workspace", str(read_only), "--lang", lang]
    env = {**os.environ, "PYTHONPATH": str(KIT / "src")}
    done = subprocess.run(argv, cwd=KIT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Read-only file system" in done.stderr
    assert "--workspace" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(read_only.iterdir()) == []


def iteration(n: int, at: float) -> Event:
    return Event("iteration", "train", at, {"n": n, "of": 4, "loss": 1.0, "lr": 1.0})


def test_a_clock_that_jumps_backwards_gives_no_negative_times() -> None:
    seen = [iteration(1, 1000.0), iteration(2, 1001.0), iteration(3, 400.0), iteration(4, 401.5)]
    found = told.training(seen, 4)
    assert found["seconds"] == [None, 1.0, None, 1.5]
    assert found["seconds_per_iteration"] == 1.25


def test_how_long_a_stage_took_is_no_matter_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = recording.Clock()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 0 <= clock.seconds < 60


def test_an_output_of_the_future_is_still_what_was_locked(tmp_path: Path) -> None:
    """Times are compared for equality, never as earlier or later; where they differ, hashes are."""
    (tmp_path / "w.bin").write_text("w")
    lock = StepLock(tmp_path / "lock.json")
    lock.write("models", "key", [tmp_path / "w.bin"])
    for at in (1.0, time.time() + 1e8):
        os.utime(tmp_path / "w.bin", (at, at))
        assert lock.check("key").fresh
