"""The workspace: one command at a time, and a mark that dies with its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from llavakit import workspace
from llavakit.errors import WorkspaceError
from llavakit.workspace import Workspace

SOURCE = Path(__file__).resolve().parents[2] / "src"
HOLD = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from llavakit.workspace import busy
with busy(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_waits_and_is_told_for_whom(tmp_path: Path) -> None:
    place, told, order = Workspace(tmp_path), [], []

    def second() -> None:
        with place.lock("second", told.append):
            order.append("second")

    with place.lock("first", lambda _: None):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert told == [f"first (process {os.getpid()})"]


def test_a_busy_folder_is_refused_to_another_process_until_that_is_killed(tmp_path: Path) -> None:
    assert not workspace.is_busy(tmp_path)
    argv = [sys.executable, "-c", HOLD, str(tmp_path), str(SOURCE)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert workspace.is_busy(tmp_path)
        with pytest.raises(WorkspaceError) as caught, workspace.busy(tmp_path):
            pass
        assert caught.value.id == "workspace.busy"
        holder.send_signal(signal.SIGKILL)
    assert not workspace.is_busy(tmp_path)


def test_a_workspace_that_cannot_be_made_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError) as caught:
        Workspace(tmp_path / "file" / "inside").create()
    assert caught.value.id == "workspace.not-writable"
    assert caught.value.why
