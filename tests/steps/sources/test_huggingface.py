"""Hugging Face: mirrors, tokens, commits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.faulty import Fault, FaultyServer
from servers.hubs import HuggingFaceHub, sha256

from llavakit import artefact
from llavakit.errors import SourceError
from llavakit.steps.sources.huggingface import HuggingFace

FILES = {"w.bin": b"weights", "config.json": b"{}", "a name/ü.txt": b"text"}
SECRET = "hf_secret"


class Silent:
    def add(self, count: int) -> None: ...

    def have(self, count: int) -> None: ...

    def note(self, name: str, /, **params: object) -> None: ...


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HuggingFaceHub]:
    with FaultyServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", f"{server.url}/")
        monkeypatch.setenv("NO_PROXY", "localhost")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        yield HuggingFaceHub(server, dict(FILES), lfs=frozenset({"w.bin"}))


def client(revision: str = "main") -> HuggingFace:
    source = artefact.HuggingFace(hub="huggingface", repository="team/model", revision=revision)
    return HuggingFace(source)


def test_addresses_name_the_commit_and_large_files_have_hashes(hub: HuggingFaceHub) -> None:
    listing = client().list(["*"])
    assert listing.revision == hub.head
    assert all(f"{hub.server.url}/team/model/resolve/{hub.head}/" in file.address
               for file in listing.files)  # fmt: skip
    known = {file.name: (file.bytes, file.sha256) for file in listing.files}
    assert known["w.bin"] == (7, sha256(b"weights"))
    assert known["config.json"] == (2, None)


def test_names_that_must_be_quoted(hub: HuggingFaceHub, tmp_path: Path) -> None:
    (file,) = client().list(["a name/*"]).files
    assert client().fetch(file, tmp_path / "p", Silent()) == sha256(b"text")


def test_a_commit_is_a_revision(hub: HuggingFaceHub) -> None:
    before = hub.head
    hub.move({"w.bin": b"other"})
    assert client(before).list(["w.bin"]).files[0].sha256 == sha256(b"weights")
    assert client().list(["w.bin"]).files[0].sha256 == sha256(b"other")


def test_a_gated_model_lists_but_wants_a_token(
    hub: HuggingFaceHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.token = SECRET
    (file,) = client().list(["w.bin"]).files
    with pytest.raises(SourceError) as caught:
        client().fetch(file, tmp_path / "p", Silent())
    assert caught.value.name == "gated"
    monkeypatch.setenv("HF_TOKEN", SECRET)
    (file,) = client().list(["w.bin"]).files
    assert client().fetch(file, tmp_path / "p", Silent()) == sha256(b"weights")


def test_a_token_goes_to_the_hub_only(
    hub: HuggingFaceHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    (file,) = client().list(["w.bin"]).files
    with FaultyServer() as storage:
        storage.files["/w"] = b"weights"
        elsewhere = storage.url.replace("localhost", "127.0.0.1")
        hub.server.fault(hub.file_path("w.bin"), Fault(redirect=f"{elsewhere}/w"))
        assert client().fetch(file, tmp_path / "p", Silent()) == sha256(b"weights")
        (asked,) = storage.requests("/w")
    assert SECRET not in json.dumps(asked.headers)
    assert SECRET in json.dumps(hub.server.requests(hub.file_path("w.bin"))[0].headers)


def test_offline_is_said_clearly(hub: HuggingFaceHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError) as caught:
        client().list(["*"])
    assert caught.value.name == "unreachable"
    assert "HF_HUB_OFFLINE" in caught.value.why


def test_a_page_that_is_json(hub: HuggingFaceHub) -> None:
    hub.server.fault(hub.list_path, Fault(body=b"[]"))
    with pytest.raises(SourceError) as caught:
        client().list(["*"])
    assert caught.value.name == "html"
