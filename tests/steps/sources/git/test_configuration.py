"""Certificates are the user's; no other configuration counts, nor what a repository says."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from servers.faulty import FaultyServer
from servers.hubs import GitHost, sha256
from steps.sources.git.repository import LARGE, QUICK, Client, Counter, refused

from llavakit import artefact
from llavakit.steps.sources.git import Git


def test_certificates_are_those_of_the_other_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    (tmp_path / "secure").mkdir()
    with FaultyServer(tls=tmp_path) as server:
        host = GitHost(server, tmp_path / "secure", {"w.bin": LARGE})
        git = Git(artefact.Git(hub="git", address=host.url, revision="main"), QUICK)
        assert refused(lambda: git.list(["*"])).name == "unreachable"
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.certificate))
        (file,) = git.list(["*"]).files
        assert git.fetch(file, tmp_path / "p", Counter()) == sha256(LARGE)


def test_certificates_by_a_path_from_where_the_job_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secure").mkdir()
    (tmp_path / "inputs").mkdir()
    monkeypatch.chdir(tmp_path)
    with FaultyServer(tls=tmp_path) as server:
        assert server.certificate is not None
        server.certificate.rename("inputs/ca.pem")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "inputs/ca.pem")
        host = GitHost(server, tmp_path / "secure", {"w.bin": LARGE}, {"a.json": b"a" * 5000})
        git = Git(artefact.Git(hub="git", address=host.url, revision="main"), QUICK)
        for file in git.list(["*"]).files:
            data = LARGE if file.sha256 else b"a" * 5000
            assert git.fetch(file, Path("p"), Counter()) == sha256(data)


def test_no_configuration_of_the_users_counts(
    host: GitHost, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "home"
    trap.mkdir()
    settings = f'[url "http://localhost:9/"]\n insteadOf = {host.server.url}/\n'
    (trap / ".gitconfig").write_text(settings)
    monkeypatch.setenv("HOME", str(trap))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "none"))
    (file,) = client().list(["w.bin"]).files
    assert client().fetch(file, tmp_path / "p", Counter()) == sha256(LARGE)
    assert [path.name for path in trap.iterdir()] == [".gitconfig"]


def test_a_repository_cannot_send_git_lfs_to_a_shell_or_a_file(
    host: GitHost, client: Client, tmp_path: Path
) -> None:
    host.move({}, {".lfsconfig": b"[lfs]\n url = ssh://localhost/x\n"})
    (file,) = client().list(["w.bin"]).files
    began = time.monotonic()
    assert refused(lambda: client().fetch(file, tmp_path / "p", Counter())).name in (
        "broken",
        "unreachable",
        "gated",
        "missing",
    )
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "said", ["fetchexclude = *", "fetchinclude = nothing", "skipdownloaderrors = true"]
)
def test_a_repository_cannot_tell_git_lfs_to_bring_nothing(
    host: GitHost, client: Client, tmp_path: Path, said: str
) -> None:
    host.move({}, {".lfsconfig": f"[lfs]\n\t{said}\n".encode()})
    (file,) = client().list(["w.bin"]).files
    assert client().fetch(file, tmp_path / "p", Counter()) == sha256(LARGE)


def test_errors_of_the_large_files_server_are_errors_whatever_a_repository_says(
    host: GitHost, client: Client, tmp_path: Path
) -> None:
    host.move({}, {".lfsconfig": b"[lfs]\n\tskipdownloaderrors = true\n"})
    host.missing_objects = True
    (file,) = client().list(["w.bin"]).files
    assert refused(lambda: client().fetch(file, tmp_path / "p", Counter())).name == "missing"
