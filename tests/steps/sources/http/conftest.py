"""A server that misbehaves, and a file on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.faulty import FaultyServer
from steps.sources.http.transfers import Bench


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        yield server


@pytest.fixture
def bench(server: FaultyServer, tmp_path: Path) -> Bench:
    return Bench(server, tmp_path / "w.part")
