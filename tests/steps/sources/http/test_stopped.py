"""Stopped from outside: what was fetched is a beginning of the file."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from servers.faulty import Fault, FaultyServer
from steps.sources.http.transfers import CONTENT, Bench, Count, chance

KIT = Path(__file__).resolve().parents[4]


class Stop(Count):
    """A meter of whoever presses Ctrl-C, or whose disk is full."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def add(self, count: int) -> None:
        super().add(count)
        if self.fetched > 1000:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_what_stops_from_outside_passes_and_the_part_is_good(
    bench: Bench, error: BaseException
) -> None:
    bench.meter = Stop(error)
    with pytest.raises(type(error)) as caught:
        bench.fetch()
    assert caught.value is error
    kept = bench.part.read_bytes()
    assert len(kept) > 1000 and CONTENT.startswith(kept)
    bench.meter = Count()
    bench.right()


def test_a_write_that_fails_half_way_leaves_a_beginning(bench: Bench) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (123_456, hard))  # stands in for a full disk
    try:
        with pytest.raises(OSError, match="File too large"):
            bench.fetch()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert bench.part.read_bytes() == CONTENT[:123_456]
    assert bench.meter.done == 123_456
    bench.meter = Count()
    bench.right()


CHILD = """
import sys
from pathlib import Path
from llavakit.steps.sources.base import RemoteFile
from llavakit.steps.sources.http import Http

class Quiet:
    def add(self, *_, **__): pass
    have = note = add

name, size, address, part = sys.argv[1:]
print(Http("Hub").fetch(RemoteFile(name, int(size), address=address), Path(part), Quiet()))
"""


def test_killed_in_mid_transfer_and_gone_on_by_another_process(
    server: FaultyServer, tmp_path: Path
) -> None:
    content = chance(2).randbytes(64_000_000)
    server.files["/big"] = content
    server.fault("/big", Fault(pace=0.005))
    part = tmp_path / "big.part"
    words = [sys.executable, "-c", CHILD, "big", str(len(content)), f"{server.url}/big", str(part)]
    env = {**os.environ, "PYTHONPATH": str(KIT / "src")}
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE) as first:
        _until(lambda: part.exists() and part.stat().st_size > 9_000_000)
        first.kill()
    on_disk = part.stat().st_size
    done = subprocess.run(words, env=env, check=True, text=True, capture_output=True)
    assert done.stdout.strip() == hashlib.sha256(content).hexdigest()
    assert part.read_bytes() == content
    before, after = server.requests("/big")
    assert 9_000_000 < on_disk < len(content)
    assert (after.status, after.start) == (206, on_disk)
    assert after.headers["Range"] == f"bytes={on_disk}-"
    assert after.sent == len(content) - on_disk
    assert before.sent >= on_disk  # the rest of it died with the process, on its way to the disk
    assert before.sent + after.sent - len(content) == before.sent - on_disk < 9_000_000


def _until(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.002)
