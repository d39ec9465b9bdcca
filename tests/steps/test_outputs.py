"""Outputs appear whole, from one maker at a time."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llavakit.errors import WorkspaceError
from llavakit.locks import StepLock
from llavakit.steps import outputs


class Events:
    def __init__(self):
        self.seen = []

    def emit(self, kind, **fields):
        self.seen.append((kind, fields))


class Job:
    step, key, events = "data", "aa", Events()


def test_an_old_folder_stays_until_the_new_one_is_whole(tmp_path):
    final = tmp_path / "d"
    with outputs.folder(final, Job) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), outputs.folder(final, Job) as folder:
        (folder / "a").write_text("new")
        _ = 1 / 0
    assert (final / "a").read_text() == "old"
    assert StepLock(final / "lock.json").check("aa").fresh
    with outputs.folder(final, Job, why="x") as folder:
        (folder / "b").write_text("new")
    assert sorted(path.name for path in final.iterdir()) == ["b", "lock.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_leftovers_of_a_killed_attempt_are_cleared(tmp_path):
    final = tmp_path / "d"
    for name in (".d.partial", ".d.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    with pytest.raises(ZeroDivisionError), outputs.folder(final, Job):
        _ = 1 / 0
    assert (final / "a").read_text() == ".d.old", "killed between two renames: the old one is back"
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


HOLD = """
import sys
from pathlib import Path
from llavakit.steps import outputs
class Job: step, key = "data", "bb"
with outputs.folder(Path(sys.argv[1]), Job) as folder:
    (folder / "a").write_text("theirs")
    print("in", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def other_maker():
    """Start another process that makes a folder until it is told to end."""
    source = Path(outputs.__file__).parents[2]
    with contextlib.ExitStack() as stack:

        def start(final):
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", HOLD, final], stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(source)},
                )
            )  # fmt: skip
            stack.callback(process.kill)
            assert process.stdout.readline() == b"in\n"
            return process

        yield start


def test_two_runs_never_make_one_output_at_once(tmp_path, other_maker):
    final = tmp_path / "models" / "m"
    process = other_maker(final)
    with pytest.raises(WorkspaceError) as caught, outputs.folder(final, Job):
        pytest.fail("both are making it")
    assert (caught.value.id, caught.value.params) == ("workspace.busy", {"folder": str(final)})
    with pytest.raises(WorkspaceError):
        outputs.file(final, {}, Job)
    with outputs.folder(final.with_name("n"), Job):
        pass
    process.communicate(b"\n", timeout=30)
    assert process.returncode == 0
    assert (final / "a").read_text() == "theirs"
    assert StepLock(final / "lock.json").check("bb").fresh
    assert sorted(path.name for path in final.parent.iterdir()) == ["m", "n"]


def test_a_killed_maker_holds_nothing(tmp_path, other_maker):
    final = tmp_path / "m"
    process = other_maker(final)
    process.kill()
    process.wait(30)
    with outputs.folder(final, Job) as folder:
        assert list(folder.iterdir()) == []
    outputs.file(tmp_path / "x.json", {}, Job)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "x.json", "x.lock.json"]
