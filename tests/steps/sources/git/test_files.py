"""Revisions, folders, large files and plain ones: what can be had, and that it comes whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from servers.faulty import Fault
from servers.hubs import GitHost, sha256
from steps.sources.git.repository import LARGE, PLAIN, Client, Counter, refused, wait_for

KIT = Path(__file__).resolve().parents[4]


def test_names_are_relative_to_the_folder(host: GitHost, client: Client) -> None:
    listing = client().list(["*", "sub/*"])
    known = {file.name: (file.bytes, file.sha256) for file in listing.files}
    assert listing.revision == host.head
    assert known == {
        "config.json": (8, None),
        "empty.txt": (0, None),
        "sub/vocabulary.txt": (1, None),
        "tokenizer.json": (None, None),  # not fetched for a size
        "w.bin": (len(LARGE), sha256(LARGE)),
    }


@pytest.mark.parametrize("filters", [True, False], ids=["partial", "whole"])
def test_every_file_can_be_had(
    host: GitHost, client: Client, tmp_path: Path, filters: bool
) -> None:
    host._git("config", "uploadpack.allowFilter", str(filters).lower())
    git = client()
    for file in git.list(["*", "sub/*"]).files:
        part, meter = tmp_path / "part", Counter()
        part.write_bytes(b"")
        data = LARGE if file.sha256 else PLAIN[f"m/{file.name}"]
        assert git.fetch(file, part, meter) == sha256(data)
        assert part.read_bytes() == data
        assert (meter.came, meter.there) == (len(data), 0)
        part.unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["host"]


def test_a_listing_of_yesterday_is_enough(host: GitHost, client: Client, tmp_path: Path) -> None:
    (file,) = client().list(["tokenizer.json"]).files
    host.move({}, {"m/tokenizer.json": b"newer"})
    assert client().fetch(file, tmp_path / "p", Counter()) == sha256(b"t" * 50_000)


@pytest.mark.parametrize("revision", ["v1", "refs/tags/v1", "main", "HEAD", "side/v1"])
def test_revisions(host: GitHost, client: Client, revision: str) -> None:
    host._git("branch", "side/v1")
    host.tag("v1")
    first = host.head
    if revision in ("main", "HEAD"):
        first = host.move({}, {"m/config.json": b"{}"})
    else:
        host.move({}, {"m/config.json": b"{}"})
    listing = client(revision).list(["config.json"])
    if revision == "refs/tags/v1":  # a name in full stands for the tag itself
        first = host._git("rev-parse", "refs/tags/v1").strip()
    assert listing.revision == first


def test_a_whole_commit_is_not_looked_up(host: GitHost, client: Client) -> None:
    first = host.head
    host.move({}, {"m/config.json": b"{}"})
    assert client(first).list(["config.json"]).revision == first


@pytest.mark.parametrize("revision", ["0" * 40, "v9", "in"])
def test_revisions_that_are_not_there(host: GitHost, client: Client, revision: str) -> None:
    assert refused(lambda: client(revision).list(["*"])).name == "missing"


def test_a_folder_that_is_not_there(client: Client) -> None:
    error = refused(lambda: client(folder="nowhere").list(["*"]))
    assert error.name == "missing" and "nowhere" in error.params["what"]


def test_a_file_system_is_no_source(host: GitHost, client: Client) -> None:
    git = client()
    object.__setattr__(git._source, "address", str(host.work))
    assert refused(lambda: git.list(["*"])).name == "unreachable"


def test_a_beginning_of_something_else_is_thrown_away(client: Client, tmp_path: Path) -> None:
    (file,) = client().list(["w.bin"]).files
    part, meter = tmp_path / "p", Counter()
    part.write_bytes(b"x" * 1000)
    assert client().fetch(file, part, meter) == sha256(LARGE)
    assert meter.came + meter.there == len(LARGE)


FETCH = """
import sys
from pathlib import Path
from llavakit import artefact
from llavakit.steps.sources.git import Git
class Silent:
    def add(self, *_, **__): pass
    have = note = add
git = Git(artefact.Git(hub="git", address=sys.argv[1], revision="main", folder="m"))
git.fetch(git.list(["w.bin"]).files[0], Path(sys.argv[2]), Silent())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill", "interrupt"])
def test_what_came_before_the_end_is_kept(
    host: GitHost, client: Client, tmp_path: Path, number: signal.Signals
) -> None:
    (file,) = client().list(["w.bin"]).files
    part = tmp_path / "out" / "p"
    path = host.object_path(LARGE)
    host.server.fault(path, Fault(stall_after=600_000), times=3)
    process = subprocess.Popen(
        [sys.executable, "-c", FETCH, host.url, str(part)],
        env={**os.environ, "PYTHONPATH": str(KIT / "src")}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(lambda: any(seen.sent >= 600_000 for seen in host.server.requests(path)))
    time.sleep(0.5)
    process.send_signal(number)
    process.wait(10)
    wait_for(lambda: not running(str(part)))
    host.server._faults.clear()
    assert client().fetch(file, part, meter := Counter()) == sha256(LARGE)
    assert meter.there >= 500_000
    assert meter.came <= len(LARGE) - 500_000
    assert [path.name for path in part.parent.iterdir()] == ["p"]


def running(text: str) -> bool:
    """Whether a program works in a folder of that name."""
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if text in str(link.readlink()):
                return True
        except OSError:
            continue
    return False


def test_threads_share_one_client(client: Client, tmp_path: Path) -> None:
    git, found = client(), []
    files = git.list(["*"]).files

    def fetch(number: int) -> None:
        found.append(git.fetch(files[number], tmp_path / str(number), Counter()))

    threads = [threading.Thread(target=fetch, args=(number,)) for number in range(len(files))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(files)
