"""`invoke test` runs its parts at once, tells what each says whole, and never a failure as none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from llavakit.host import testing
from llavakit.host.console import Screen
from llavakit.host.settings import KIT
from llavakit.host.testing import Part

MEETS = """
import pathlib, sys, time
mine, other = map(pathlib.Path, sys.argv[1:])
mine.touch()
ends = time.monotonic() + 60
print(f"{mine.name} begins", flush=True)
while not other.exists() and time.monotonic() < ends:
    time.sleep(0.01)
print(f"{mine.name} met {other.name}: {other.exists()}", file=sys.stderr)
"""
"""Ends well only where the other part runs meanwhile."""


def part(name: str, code: str, *args: str | Path) -> Part:
    return Part(name, "test.inside", [sys.executable, "-c", code, *args])


def test_parts_run_at_once_and_each_is_shown_whole(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    parts = [part("one", MEETS, one, two), part("two", MEETS, two, one)]
    assert testing.run(parts, Screen()) == 0
    out, err = capfd.readouterr()
    assert out.splitlines() == [
        "one begins", "one met two: True", "two begins", "two met one: True",
    ]  # fmt: skip
    assert [line.split() for line in err.splitlines()[-2:]] == [["one", "passed"],
                                                                ["two", "passed"]]  # fmt: skip


def test_where_one_part_cannot_begin_none_goes_on(tmp_path: Path) -> None:
    parts = [part("one", "import time; time.sleep(60)"),
             Part("two", "test.inside", [tmp_path / "no-such-python"])]  # fmt: skip
    begun: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def keep(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        begun.append(start(*args, **options))
        return begun[-1]

    began = time.monotonic()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(FileNotFoundError):
        patch.setattr(subprocess, "Popen", keep)
        testing.run(parts, Screen())
    [one] = begun
    assert time.monotonic() - began < testing.GRACE_SECONDS / 2
    assert one.returncode == -signal.SIGTERM, "ended, and waited for"


@pytest.mark.parametrize(("statuses", "whole"), [((5, 0), 5), ((0, 1), 1), ((2, 1), 2)])
def test_a_failure_of_any_part_is_the_whole_s(
    statuses: tuple[int, ...], whole: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """5 is what pytest says where it found no test."""
    parts = [part(f"part-{n}", f"raise SystemExit({n})") for n in statuses]
    assert testing.run(parts, Screen()) == whole
    err = capfd.readouterr().err
    for n in filter(None, statuses):
        assert f"failed, with status {n}" in err


def test_an_interrupted_part_may_tidy_up(tmp_path: Path) -> None:
    """Ctrl-C reaches every process of the terminal; whoever called waits for those that end."""
    slow = f"""
import pathlib, time
here = pathlib.Path({str(tmp_path)!r})
try:
    (here / "begun").touch()
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(1)
    (here / "tidy").touch()
"""
    caller = f"""
import sys
from llavakit.host import testing
from llavakit.host.console import Screen
part = testing.Part("slow", "test.inside", [sys.executable, "-c", {slow!r}])
testing.run([part], Screen())
"""
    environ = {**os.environ, "PYTHONPATH": str(KIT / "src")}
    with subprocess.Popen(
        [sys.executable, "-c", caller], env=environ, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        ends = time.monotonic() + 60
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < ends
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) != 0
    assert (tmp_path / "tidy").exists()
