"""The check of all sources: one answer for each, whatever the others do, and soon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers.faulty import Fault, FaultyServer
from servers.hubs import HuggingFaceHub, sha256

from llavakit import recipe
from llavakit.artefact import Artefact
from llavakit.errors import SourceError, from_wire
from llavakit.steps import check_sources
from llavakit.steps.sources.base import RemoteFile

KIT = Path(__file__).resolve().parents[3]
WEIGHTS = bytes(range(256)) * 8000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        monkeypatch.setenv("NO_PROXY", "localhost")
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        HuggingFaceHub(running, {"w.bin": WEIGHTS}, lfs=frozenset({"w.bin"}))
        running.files["/m/w.bin"] = WEIGHTS
        yield running


def wanted(server: FaultyServer, **more: Any) -> Artefact:
    sources = [
        {"hub": "huggingface", "repository": "team/model"},
        {"hub": "https", "address": f"{server.url}/m"},
        {"hub": "https", "address": f"{server.url}/none"},
        {"hub": "git", "address": f"{server.url}/x.git"},
    ]
    value = {"name": "w", "sources": sources, "files": ["w.bin"], **more}
    return Artefact.model_validate(value)


def test_every_source_answers_for_itself(server: FaultyServer) -> None:
    ((hub, web, none, git),) = check_sources.check([wanted(server)])
    assert (hub.state, hub.files, hub.bytes, hub.stated) == ("ok", 1, len(WEIGHTS), ("w.bin",))
    assert len(hub.revision) == 40
    assert (web.state, web.bytes, web.stated) == ("ok", len(WEIGHTS), ())
    assert (none.state, git.state) == ("source.missing", "source.missing")
    for good in (hub, web):
        assert good.ms and good.rate and good.error is None
    for bad in (none, git):
        error = from_wire(bad.error or "")
        assert isinstance(error, SourceError) and error.params["source"] == bad.source


def test_other_bytes_than_the_recipe_knows(server: FaultyServer) -> None:
    ((hub, web, *_),) = check_sources.check([wanted(server, sha256={"w.bin": "0" * 64})])
    assert (hub.state, hub.contradicts) == ("other bytes", ("w.bin",))
    error = from_wire(hub.error or "")
    assert error is not None and error.id == "source.wrong-bytes"
    assert (web.state, web.contradicts) == ("ok", ())


def test_the_same_bytes_as_the_recipe_knows(server: FaultyServer) -> None:
    ((hub, *_),) = check_sources.check([wanted(server, sha256={"w.bin": sha256(WEIGHTS)})])
    assert (hub.state, hub.contradicts) == ("ok", ())


def test_silent_sources_are_left_behind(server: FaultyServer) -> None:
    for path in ("/api/models/team/model/revision/main", "/m/w.bin", "/x.git/info/refs"):
        server.fault(path, Fault(seconds=4), times=9)
    began = time.monotonic()
    ((hub, web, none, git),) = check_sources.check([wanted(server)], deadline=1)
    assert time.monotonic() - began < 2
    assert {hub.state, web.state, git.state} == {"source.unreachable"}
    assert none.state == "source.missing"


def test_a_sample_is_a_sample(server: FaultyServer) -> None:
    file = RemoteFile("w.bin", address=f"{server.url}/m/w.bin")
    assert check_sources.rate(file)
    assert sum(seen.sent for seen in server.requests("/m/w.bin")) == check_sources.SAMPLE
    server.fault("/m/w.bin", Fault(status=403))
    assert check_sources.rate(file) is None


def test_a_sample_of_what_stalls(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_sources, "SAMPLE_SECONDS", 0.3)
    server.fault("/m/w.bin", Fault(stall_after=10_000))
    found = check_sources.rate(RemoteFile("w.bin", address=f"{server.url}/m/w.bin"))
    assert found and found < 100_000


def write_recipe(path: Path, llm: dict[str, Any]) -> None:
    raw = yaml.safe_load((KIT / "configs" / "recipes" / "tiny.yaml").read_text("utf-8"))
    raw["weights"]["llm"] = {"source": "remote", **llm}
    value = recipe.parse(raw, origin="test").resolved()
    path.write_text(json.dumps(value), "utf-8")


def run(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "llavakit.steps.check_sources", "--recipe", "recipe.json",
         "--out", "out.json", *more],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(KIT / "src"), "TMPDIR": str(folder / "tmp")},
    )  # fmt: skip


def test_the_program_ends_though_nobody_answers(server: FaultyServer, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    for path in ("/api/models/team/model/revision/main", "/m/w.bin", "/x.git/info/refs"):
        server.fault(path, Fault(seconds=60), times=9)
    write_recipe(tmp_path / "recipe.json", wanted(server).model_dump(mode="json"))
    began = time.monotonic()
    done = run(tmp_path)
    assert time.monotonic() - began < 14
    assert done.returncode == 0, done.stdout + done.stderr
    body = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert body["version"] == 1
    (llm,) = body["artefacts"]
    assert (llm["artefact"], llm["part"]) == ("w", "llm")
    states = [source["state"] for source in llm["sources"]]
    # Hugging Face's client gives up after as many seconds as a source has: either may come first.
    assert states.pop(0) in ("source.unreachable", "source.stalled")
    assert states == ["source.unreachable", "source.missing", "source.unreachable"]
    assert not [*(tmp_path / "tmp").iterdir()]


def test_a_recipe_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    done = run(tmp_path)
    error = from_wire(done.stdout.splitlines()[-1])
    assert error is not None and error.id == "recipe.not-found"
    assert done.returncode == error.exit_code
