"""Turns on a GPU, with names of GPUs that no machine has."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from host.beside import process_of

from llavakit.errors import WorkspaceError
from llavakit.host import turns
from llavakit.host.turns import Holder, taken_by, turn

GPU = "GPU-6a1d7a0c-0000-1111-2222-333344445555"
OTHER = "GPU-0b2e8b1d-0000-1111-2222-333344445555"
SHORT = 0.05
HOLDS = """
import sys, time
from pathlib import Path
from llavakit.host.turns import Holder, turn
holder = Holder("train, a", "docker", "/w/a", {"run": "a"})
with turn(Path(sys.argv[1]), sys.argv[2], holder, lambda before: False, print):
    print("mine", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "POLL_SECONDS", SHORT)


def holder(name: str) -> Holder:
    return Holder(f"train, {name}", "docker", f"/w/{name}", {"run": name})


def never(_: Holder) -> bool:
    return False


def ignore(_: Holder | None) -> None:
    return None


def holding(folder: Path, gpu: str = GPU) -> AbstractContextManager[subprocess.Popen[str]]:
    return process_of(HOLDS, folder, gpu)


class Waiting(threading.Thread):
    """Wants the turn; whom it waits for, and whether it has had it."""

    def __init__(self, folder: Path, goes_on: Callable[[Holder], bool] = never) -> None:
        super().__init__(daemon=True)
        self.folder, self.goes_on = folder, goes_on
        self.waits_for: list[Holder | None] = []
        self.waited: bool | None = None

    def run(self) -> None:
        args = (self.folder, GPU, holder("b"), self.goes_on, self.waits_for.append)
        with turn(*args) as waited:
            self.waited = waited


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_runs_wait_in_line_and_know_for_whom(tmp_path: Path) -> None:
    with holding(tmp_path) as first:
        second = Waiting(tmp_path)
        second.start()
        until(lambda: second.waits_for)
        time.sleep(4 * SHORT)
        assert second.waited is None
        [seen] = second.waits_for
        assert seen is not None
        assert (seen.what, seen.workspace, seen.pid) == ("train, a", "/w/a", first.pid)
        assert seen.since in seen.words()
        first.kill()
    second.join(10)
    assert second.waited is True


def test_another_gpu_is_free(tmp_path: Path) -> None:
    with holding(tmp_path, OTHER) as first:
        with turn(tmp_path, GPU, holder("b"), never, ignore) as waited:
            assert waited is False
        first.kill()


def test_the_job_of_a_killed_command_keeps_its_turn(tmp_path: Path) -> None:
    """The lock went with the command; its container did not, and holds the GPU's memory."""
    with holding(tmp_path) as first:
        first.kill()
    runs = threading.Event()
    runs.set()
    asked: list[Holder] = []

    def goes_on(before: Holder) -> bool:
        asked.append(before)
        return runs.is_set()

    assert taken_by(tmp_path, GPU, goes_on) is not None
    second = Waiting(tmp_path, goes_on)
    second.start()
    until(lambda: second.waits_for)
    time.sleep(4 * SHORT)
    assert second.waited is None
    assert {(each.engine, each.labels["run"]) for each in asked} == {("docker", "a")}
    runs.clear()
    second.join(10)
    assert second.waited is True
    assert taken_by(tmp_path, GPU, goes_on) is None


def test_who_looks_takes_no_turn(tmp_path: Path) -> None:
    assert taken_by(tmp_path, GPU, never) is None
    assert list(tmp_path.iterdir()) == []
    with holding(tmp_path) as first:
        seen = [taken_by(tmp_path, GPU, never) for _ in range(3)]
        assert [each and each.what for each in seen] == ["train, a"] * 3
        first.kill()


def test_a_file_that_somebody_tidied_away_is_made_again(tmp_path: Path) -> None:
    with holding(tmp_path) as first:
        second = Waiting(tmp_path)
        second.start()
        until(lambda: second.waits_for)
        for path in tmp_path.iterdir():
            path.unlink()
        second.join(10)  # nobody can see the first one any more
        assert second.waited is True
        [path] = tmp_path.iterdir()
        assert "train, b" in path.read_text()
        first.kill()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"labels": 3}', "\x00" * 50])
def test_what_stands_in_the_file_stops_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / f"{GPU}.lock").write_text(text)
    with turn(tmp_path, GPU, holder("b"), lambda before: True, ignore) as waited:
        assert waited is False


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / f"{GPU}.lock").symlink_to(tmp_path / "precious")
    with (
        pytest.raises(WorkspaceError) as caught,
        turn(tmp_path, GPU, holder("b"), never, ignore),
    ):
        pass
    assert caught.value.id == "workspace.refused"
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_users_share_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "gpus"
    tmp_path.chmod(0o755)
    for parent in list(tmp_path.parents)[:3]:
        parent.chmod(parent.stat().st_mode | 0o005)
    with turn(folder, GPU, holder("a"), never, ignore):
        pass
    assert folder.stat().st_mode & 0o7777 == 0o1777
    assert as_another_user(lambda: take(folder)) == 0
    assert "train, b" in (folder / f"{GPU}.lock").read_text()


def take(folder: Path) -> None:
    with turn(folder, GPU, holder("b"), never, ignore) as waited:
        assert waited is False


def as_another_user(body: Callable[[], None]) -> int:
    """The exit status of ``body`` in a process of nobody's: 0 unless it raised."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            body()
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
