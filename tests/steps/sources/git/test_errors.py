"""Programs that are missing, servers that fail, and what is told of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from servers.faulty import Fault
from servers.hubs import GitHost, sha256
from steps.sources.git.repository import Client, Counter, refused

from llavakit.steps.sources import git_errors


def test_a_git_lfs_that_succeeds_without_a_file(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = client().list(["w.bin"]).files
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git-lfs").write_text("#!/bin/sh\ncat > /dev/null\n")
    (tmp_path / "bin" / "git-lfs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    error = refused(lambda: client().fetch(file, tmp_path / "p", Counter()))
    assert error.name == "broken" and "brought nothing" in error.why


def test_passwords_are_in_no_message(host: GitHost, client: Client) -> None:
    git = client()
    address = host.url.replace("://", "://me:secret@")
    object.__setattr__(git._source, "address", address)
    host.server.fault(host.refs_path, Fault(status=503), times=4)
    error = refused(lambda: git.list(["*"]))
    assert error.name == "server" and "secret" not in error.why


@pytest.mark.parametrize("tool", ["git", "git-lfs"])
def test_a_program_that_is_not_there(
    client: Client, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    known = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name, *rest: None if name == tool else known(name, *rest)
    )
    error = refused(lambda: client().list(["w.bin"]))
    assert (error.name, error.params["tool"]) == ("no-tool", tool)


def test_objects_that_the_large_files_server_has_lost(
    host: GitHost, client: Client, tmp_path: Path
) -> None:
    host.missing_objects = True
    (file,) = client().list(["w.bin"]).files
    assert refused(lambda: client().fetch(file, tmp_path / "p", Counter())).name == "missing"


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (Fault(status=503), "server"),
        (Fault(status=401), "gated"),
        (Fault(status=403), "gated"),
        (Fault(status=404), "missing"),
        (Fault(status=429), "server"),
        (Fault(body=b"<html>", headers={"Content-Type": "text/html"}), "html"),
        (Fault(drop_after=3), "broken"),
        (Fault(stall_after=0), "stalled"),
    ],
    ids=["503", "401", "403", "404", "429", "page", "drop", "stall"],
)
def test_the_large_files_server_fails(
    host: GitHost, client: Client, tmp_path: Path, fault: Fault, name: str
) -> None:
    (file,) = client().list(["w.bin"]).files
    host.server.fault(host.batch_path, fault, times=10)
    assert refused(lambda: client().fetch(file, tmp_path / "p", Counter())).name == name


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (Fault(status=503), "server"),
        (Fault(status=403), "gated"),
        (Fault(drop_after=60), "broken"),
        (Fault(stall_after=60), "stalled"),
    ],
    ids=["503", "403", "drop", "stall"],
)
def test_a_plain_file_fails(
    host: GitHost, client: Client, tmp_path: Path, fault: Fault, name: str
) -> None:
    git, part = client(), tmp_path / "p"
    (file,) = git.list(["tokenizer.json"]).files
    asked = "/team/model.git/git-upload-pack"
    host.server.fault(asked, fault, times=10)
    assert refused(lambda: git.fetch(file, part, Counter())).name == name
    assert not [path for path in tmp_path.iterdir() if path.name != "host"]
    host.server._faults.clear()
    host.server.fault(asked, Fault(status=503))
    assert git.fetch(file, part, Counter()) == sha256(b"t" * 50_000)


def test_a_full_disk_is_no_fault_of_the_source() -> None:
    said = "cannot write data to temporary file: write /x: no space left on device"
    with pytest.raises(OSError, match="No space left"):
        git_errors.explain(said, "git", "w.bin", "w.bin", 1)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("fatal: unable to access 'http://h/': Could not resolve host: h", "unreachable"),
        ("fatal: unable to access 'https://h/': gnutls_handshake() failed", "unreachable"),
        ('batch response: Post "http://h/": dial tcp: lookup h: no such host', "unreachable"),
        ("fatal: remote error: upload-pack: not our ref 111", "missing"),
        ("fatal: unable to access 'h': Operation too slow. Less than 1 bytes/sec", "stalled"),
        ("error: RPC failed; HTTP 503 curl 22 The requested URL returned error: 503", "server"),
        ("error: RPC failed; curl 18 transfer closed with 390 bytes remaining to read", "broken"),
        ("fatal: remote-curl: bad line length character: <!do", "html"),
    ],
)
def test_texts_of_the_programs(said: str, name: str) -> None:
    assert git_errors.explain(said, "git", "w.bin", "w.bin", 1).name == name


def test_what_is_told_of_a_text() -> None:
    said = (
        "Downloading w.bin (3.0 MB)\nError downloading object: w.bin (cc1e6ac): Smudge error: "
        f"Error downloading w.bin ({'c' * 64}): Fatal error: Server error "
        "&{%!!(string=http) %!!(string=)}s(MISSING) from HTTP 503\n\n"
        "Errors logged to '/x/y.log'.\nUse `git lfs logs last` to view the log.\n"
        "fatal: unable to access 'https://me:secret@h/x?sig=1'"
    )
    assert git_errors.tell(said).splitlines() == [
        "Fatal error: Server error from HTTP 503",
        "fatal: unable to access 'https://h/x'",
    ]
