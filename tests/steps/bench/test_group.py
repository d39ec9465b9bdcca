"""A child's process group: what it says, and that nothing of it is left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llavakit.steps.bench.gauges import memory_mib
from llavakit.steps.bench.group import KEEPER, Group, SilentError

STUBBORN = """
import os, signal, time
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    while True:
        time.sleep(1)
for each in range(3):
    print("line", each, flush=True)
while True:
    time.sleep(1)
"""


@pytest.fixture
def start(tmp_path):
    groups = []

    def start(code):
        group = Group([sys.executable, "-c", code], dict(os.environ), tmp_path / "log")
        groups.append(group)
        return group

    yield start
    for group in groups:
        group.stop(0)


def test_lines_come_with_their_times_and_go_to_the_log(start, tmp_path):
    group = start(
        "import time\nprint('a', flush=True); time.sleep(.3); print('b\\xff'); print('c', end='')"
    )
    found = list(group.lines(20))
    assert [line for _, line in found] == ["a", "bÿ", "c"]
    assert found[1][0] - found[0][0] == pytest.approx(0.3, abs=0.2)
    assert group.ended() == 0
    assert (tmp_path / "log").read_text() == "a\nbÿ\nc"


def test_who_ignores_sigterm_is_killed_with_what_it_started(start):
    group = start(STUBBORN)
    lines = (line for _, line in group.lines(20))
    assert [next(lines) for _ in range(3)] == ["line 0", "line 1", "line 2"]
    assert len(group.processes()) == 2
    began = time.monotonic()
    group.stop(0.5)
    assert group.processes() == []
    assert 0.5 <= time.monotonic() - began < 5


def test_who_ends_at_sigterm_is_not_waited_for(start):
    group = start("import time\nprint(1, flush=True)\ntime.sleep(60)")
    next(group.lines(20))
    began = time.monotonic()
    group.stop()
    assert time.monotonic() - began < 2


HELD = """
import os, signal, sys, time
from pathlib import Path
from llavakit.steps.bench.group import Group
group = Group([sys.executable, "-c", sys.argv[1]], dict(os.environ), Path(sys.argv[2]))
next(group.lines(20))
print(*group.processes(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_all_of_it_ends_with_who_holds_it(tmp_path):
    """By SIGKILL too; who sees to that ends with it."""
    words = [sys.executable, "-c", HELD, STUBBORN, str(tmp_path / "log")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == -9, done.stderr
    group, other = done.stdout.split()
    ends = time.monotonic() + 10
    while any(map(running, (group, other))):
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert keepers(group) == []


def running(process):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def keepers(group):
    words = [path.read_bytes().split(b"\0") for path in Path("/proc").glob("[0-9]*/cmdline")
             if running(path.parent.name)]  # fmt: skip
    return [each for each in words if KEEPER.encode() in each and group.encode() in each]


def test_nobody_keeps_a_group_that_was_stopped(start):
    group = start("print(1)")
    list(group.lines(20))
    assert len(keepers(str(group.id))) == 1
    group.stop()
    assert keepers(str(group.id)) == []


def test_a_child_that_says_nothing_is_given_up(start):
    group = start("import time\ntime.sleep(60)")
    with pytest.raises(SilentError, match="nothing written for 1 s"):
        list(group.lines(1))


def test_the_lines_end_with_the_child_whoever_still_has_its_output(start):
    group = start("import os, time\nif os.fork() == 0:\n    time.sleep(60)\nprint('over')")
    began = time.monotonic()
    assert [line for _, line in group.lines(20)] == ["over"]
    assert time.monotonic() - began < 10
    assert len(group.processes()) == 1
    group.stop()
    assert group.processes() == []


def test_the_memory_of_several_counts_once_what_they_share(start):
    """A list of 100 MiB before the fork belongs to both."""
    group = start(
        "import os, time\nheld = b'x' * (100 << 20)\nchild = os.fork()\n"
        "print(1, flush=True)\ntime.sleep(60)"
    )
    lines = group.lines(20)
    next(lines), next(lines)
    both = memory_mib(group.processes())
    assert 100 <= both < 160
    assert 100 <= memory_mib([group.id]) < 130


def test_the_memory_of_nobody_is_none():
    assert memory_mib([]) == memory_mib([2**22 + 1]) == 0
