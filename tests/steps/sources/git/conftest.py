"""A host of a git repository with large files, and clients of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.faulty import FaultyServer
from servers.hubs import GitHost
from steps.sources.git.repository import LARGE, PLAIN, QUICK, Client

from llavakit import artefact
from llavakit.steps.sources.git import Git


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost")
    if shutil.which("git-lfs") is None:
        if os.environ.get("LLAVAKIT_TEST_REQUIRE_DOCKER"):
            pytest.fail("git-lfs is not installed here, and this run must have it")
        pytest.skip("git-lfs is not installed here")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GitHost]:
    (tmp_path / "host").mkdir()
    with FaultyServer() as server:
        yield GitHost(server, tmp_path / "host", {"m/w.bin": LARGE}, dict(PLAIN))


@pytest.fixture
def client(host: GitHost) -> Client:
    def make(revision: str = "main", folder: str = "m", address: str = host.url) -> Git:
        source = artefact.Git(hub="git", address=address, revision=revision, folder=folder)
        return Git(source, QUICK)

    return make
