"""ModelScope: who asks, and what is left of it on the disk."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.faulty import Fault, FaultyServer
from servers.hubs import ModelScopeHub, sha256

from llavakit import artefact
from llavakit.errors import SourceError
from llavakit.steps.sources.modelscope_hub import ModelScope

KIT = Path(__file__).resolve().parents[3]
SECRET = "ms-0123-secret"
SOURCE = artefact.ModelScope(hub="modelscope", repository="team/model")
FILES = {"w.bin": b"weights", "a/b.json": b"{}", "a/c.txt": b"text"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelScopeHub]:
    with FaultyServer(tls=tmp_path) as server:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.certificate))
        monkeypatch.setenv("MODELSCOPE_DOMAIN", server.host)
        monkeypatch.setenv("NO_PROXY", "localhost")
        monkeypatch.delenv("MODELSCOPE_API_TOKEN", raising=False)
        monkeypatch.setattr(ModelScope, "answer", 1.0)
        yield ModelScopeHub(server, dict(FILES))


def test_patterns_reach_into_folders_and_folders_are_no_files(hub: ModelScopeHub) -> None:
    listing = ModelScope(SOURCE).list(["*", "a/*.json"])
    assert {file.name for file in listing.files} == {"w.bin", "a/b.json"}
    assert all(file.sha256 == sha256(FILES[file.name]) for file in listing.files)
    assert all(file.version and not file.headers.get("Cookie") for file in listing.files)


def test_a_token_opens_what_is_closed_and_goes_nowhere_else(
    hub: ModelScopeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = SECRET
    with pytest.raises(SourceError) as caught:
        ModelScope(SOURCE).list(["w.bin"])
    assert caught.value.name == "gated"
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", SECRET)
    (file,) = ModelScope(SOURCE).list(["w.bin"]).files
    assert file.headers["Cookie"] == "m_session_id=letmein"
    assert SECRET not in repr(file)


@pytest.mark.parametrize("fault", [None, Fault(status=500)], ids=["refused", "broken"])
def test_a_token_that_fails_is_in_no_message(
    hub: ModelScopeHub, monkeypatch: pytest.MonkeyPatch, fault: Fault | None
) -> None:
    hub.token = "another"
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", SECRET)
    if fault:
        hub.server.fault("/api/v1/login", fault, times=5)
    with pytest.raises(SourceError) as caught:
        ModelScope(SOURCE).list(["w.bin"])
    assert caught.value.name == ("server" if fault else "gated")
    assert SECRET not in caught.value.to_wire()


def test_json_that_is_not_the_hubs(hub: ModelScopeHub) -> None:
    hub.server.fault(hub.list_path, Fault(body=b'{"Code": 200, "Data": null}'))
    with pytest.raises(SourceError) as caught:
        ModelScope(SOURCE).list(["w.bin"])
    assert caught.value.name == "server"


LISTING = """
import sys
from llavakit import artefact
from llavakit.steps.sources.registry import of
source = artefact.ModelScope(hub="modelscope", repository="team/model")
print(len(of(source).list(["*", "a/*"]).files))
"""


@pytest.mark.parametrize("token", ["", SECRET], ids=["nobody", "somebody"])
def test_nothing_is_said_and_nothing_is_left(
    hub: ModelScopeHub, tmp_path: Path, token: str
) -> None:
    hub.token = token
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    env = {
        **os.environ,
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PYTHONPATH": str(KIT / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MODELSCOPE_API_TOKEN": token,
    }
    done = subprocess.run(
        [sys.executable, "-c", LISTING], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout == "3\n"
    assert done.stderr == ""
    assert not [*home.rglob("*")] and not [*temporary.rglob("*")]


def test_what_the_client_says_is_in_our_log(
    hub: ModelScopeHub, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.server.fault(hub.list_path, Fault(status=403), times=3)
    with caplog.at_level(logging.DEBUG, "llavakit.modelscope"), pytest.raises(SourceError):
        ModelScope(SOURCE).list(["w.bin"])
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
