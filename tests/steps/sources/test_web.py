"""A web server's folder: named files, nothing listed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from servers.faulty import FaultyServer

from llavakit import artefact
from llavakit.errors import SourceError
from llavakit.steps.sources.web import Web


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    monkeypatch.setenv("NO_PROXY", "localhost")
    with FaultyServer() as running:
        running.files = {"/m/w.bin": b"weights", "/m/a%20b/%C3%BC.txt": b"text"}
        yield running


def client(server: FaultyServer) -> Web:
    return Web(artefact.Web(hub="https", address=f"{server.url}/m/"))


def test_size_and_version(server: FaultyServer) -> None:
    (file,) = client(server).list(["w.bin"]).files
    assert (file.name, file.bytes, file.sha256) == ("w.bin", 7, None)
    assert file.version.startswith('"')
    assert file.address == f"{server.url}/m/w.bin"


def test_names_are_quoted_and_keep_their_folder(server: FaultyServer) -> None:
    (file,) = client(server).list(["a b/ü.txt"]).files
    assert file.name == "a b/ü.txt"


def test_what_is_there_is_listed_without_what_is_not(server: FaultyServer) -> None:
    assert [file.name for file in client(server).list(["no.bin", "w.bin"]).files] == ["w.bin"]


def test_a_wildcard_is_refused_before_anything_is_asked(server: FaultyServer) -> None:
    with pytest.raises(SourceError) as caught:
        client(server).list(["w.bin", "*.json"])
    assert caught.value.name == "no-files"
    assert caught.value.params["wanted"] == "*.json"
    assert "wildcards" in caught.value.why
    assert not server.seen
