"""The fetch step against real servers: which source, which bytes, what stays after a failure."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import time

import pytest
from servers.faulty import Fault, FaultyServer
from servers.hubs import HuggingFaceHub

from llavakit.locks import write_json

OUT = "data/downloads/sample-1"
FILES = {"conversations.json": b"[1]", "images/a.png": random.Random(1).randbytes(300_000)}  # noqa: S311


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def servers():
    with FaultyServer() as one, FaultyServer() as other:
        for name, content in FILES.items():
            one.files[f"/x/{name}"] = other.files[f"/x/{name}"] = content
        yield one, other


@pytest.fixture
def ask(bench, servers):
    """Run the step for an artefact of both servers."""
    here = bench()

    def write(**changes):
        sources = [{"hub": "https", "address": f"{server.url}/x"} for server in servers]
        download = {"name": "sample", "sources": sources, "files": list(FILES), **changes}
        recipe = here.json("runs/r/recipe.json")
        recipe["data"] |= {"folder": None, "download": download}
        write_json(here.root / "runs/r/recipe.json", recipe)

    def run(start=False, **changes):
        write(**changes)
        call = here.start if start else here.step
        return call("fetch", "--part", "data", "--out", OUT)

    run.bench, run.write = here, write
    run.folder = here.root / OUT
    return run


def lock(ask):
    return json.loads((ask.folder / "lock.json").read_text())


def test_what_is_not_known_is_locked_when_it_is_first_had(ask, servers):
    assert ask(sha256={"conversations.json": sha256(b"[1]")}).rc == 0
    for name, content in FILES.items():
        assert (ask.folder / name).read_bytes() == content
        assert lock(ask)["files"][name]["sha256"] == sha256(content)
    assert lock(ask)["facts"]["first_use"] == ["images/a.png"]
    assert set(lock(ask)["facts"]["origin"].values()) == {f"{servers[0].url}/x"}
    notes = [event["text"] for event in ask.bench.events() if event["kind"] == "note"]
    assert [text for text in notes if sha256(FILES["images/a.png"]) in text]
    assert {path.name for path in ask.folder.parent.iterdir()} == {"sample-1"}, "no part stays"


def test_what_is_there_is_not_asked_for_again(ask, servers):
    assert ask().rc == 0
    asked = [len(server.seen) for server in servers]
    (ask.folder / "conversations.json").unlink()
    assert ask().rc == 0
    again = [seen.path for seen in servers[0].seen[asked[0] :] if seen.method == "GET"]
    assert set(again) == {"/x/conversations.json"}
    assert servers[1].seen == []


def test_wrong_bytes_are_thrown_away_and_the_next_source_is_asked(ask, servers):
    servers[0].files["/x/images/a.png"] = bytes(300_000)
    known = {name: sha256(content) for name, content in FILES.items()}
    assert ask(sha256=known).rc == 0
    assert (ask.folder / "images/a.png").read_bytes() == FILES["images/a.png"]
    origin = lock(ask)["facts"]["origin"]
    assert origin["images/a.png"] == f"{servers[1].url}/x"
    assert origin["conversations.json"] == f"{servers[0].url}/x"


def test_with_no_source_left_every_cause_is_told_and_nothing_wrong_is_kept(ask, servers):
    for server in servers:
        server.files["/x/images/a.png"] = bytes(300_000)
    done = ask(sha256={"images/a.png": sha256(FILES["images/a.png"])})
    assert done.error.id == "source.none-left"
    assert [cause.id for cause in done.error.causes] == ["source.wrong-bytes"] * 2
    assert sha256(bytes(300_000))[:12] in done.error.causes[0].what()
    assert not (ask.folder / "lock.json").exists()
    assert not (ask.folder / "images/a.png").exists()
    assert list(ask.folder.parent.glob(".*.parts/*")) == []
    assert (ask.folder / "conversations.json").read_bytes() == b"[1]", "what was right stays"


def test_a_file_that_changed_since_it_was_locked_is_refused_in_words(ask, servers):
    assert ask().rc == 0
    (ask.folder / "conversations.json").unlink()
    for server in servers:
        server.files["/x/conversations.json"] = b"[2]"
    done = ask()
    assert [cause.id for cause in done.error.causes] == ["source.moved"] * 2
    assert "locked at first use" in done.error.causes[0].what()
    assert lock(ask)["files"]["conversations.json"]["sha256"] == sha256(b"[1]")
    assert not (ask.folder / "conversations.json").exists()


def test_a_torn_part_is_fetched_anew_instead_of_blaming_the_source(ask, servers):
    known = {name: sha256(content) for name, content in FILES.items()}
    servers[0].fault("/x/images/a.png", Fault(), Fault(drop_after=100_000))
    servers[0].fault("/x/images/a.png", Fault(status=503), times=9)
    with ask(start=True, sha256=known) as child:
        part = wait_for(lambda: list(ask.folder.parent.glob(".*.parts/images*")))[0]
        wait_for(lambda: part.stat().st_size >= 100_000)
        child.kill()
    servers[0]._faults.clear()
    with part.open("r+b") as file:
        file.write(b"torn")
    assert ask(sha256=known).rc == 0
    assert (ask.folder / "images/a.png").read_bytes() == FILES["images/a.png"]
    assert not servers[1].seen


def test_a_killed_step_goes_on_with_the_same_bytes_from_another_source(ask, servers):
    known = {name: sha256(content) for name, content in FILES.items()}
    servers[0].fault("/x/images/a.png", Fault(), Fault(stall_after=200_000))
    with ask(start=True, sha256=known) as child:
        part = wait_for(lambda: list(ask.folder.parent.glob(".*.parts/images*")))[0]
        wait_for(lambda: part.stat().st_size >= 200_000)
        child.kill()
    had = part.stat().st_size
    servers[0].files.clear()
    assert ask(sha256=known).rc == 0
    got = [seen for seen in servers[1].requests("/x/images/a.png") if seen.method == "GET"]
    assert [(seen.start, seen.sent) for seen in got] == [(had, 300_000 - had)]


def test_a_step_that_is_stopped_ends_at_once_whatever_the_server_does(ask, servers):
    servers[0].fault("/x/images/a.png", Fault(), Fault(stall_after=1000))
    with ask(start=True) as child:
        wait_for(lambda: list(ask.folder.parent.glob(".*.parts/images*")))
        before = time.monotonic()
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 130
        assert time.monotonic() - before < 3


def test_more_than_the_disk_holds_is_refused_before_it_is_fetched(ask, servers):
    servers[0].fault("/x/images/a.png", Fault(length=10**16))
    done = ask()
    assert done.error.id == "workspace.too-little-disk"
    assert not [seen for seen in servers[0].requests("/x/images/a.png") if seen.method == "GET"]


def test_two_that_fetch_the_same_do_not_mix(ask, servers):
    servers[0].fault("/x/images/a.png", Fault(), Fault(stall_after=1000))
    with ask(start=True) as child:
        wait_for(lambda: list(ask.folder.parent.glob(".*.parts/images*")))
        other = ask.bench.root / "runs" / "other"
        other.mkdir()
        argv = ask.bench.argv("fetch", "--part", "data", "--out", OUT)
        argv[argv.index("runs/r")] = "runs/other"
        done = subprocess.run(
            argv, cwd=ask.bench.root, env=ask.bench.env(), capture_output=True, text=True
        )
        child.kill()
    assert done.returncode == 1
    assert "workspace.busy" in done.stdout.splitlines()[-1]


@pytest.fixture
def hub(ask, servers):
    """A hub on the first server, as the first of two sources."""
    made = HuggingFaceHub(servers[0], {}, lfs=frozenset({"a.safetensors", "b.safetensors"}))
    more = {"HF_ENDPOINT": servers[0].url, "HF_HUB_OFFLINE": "0"}
    plain = ask.bench.env
    ask.bench.env = lambda: {**plain(), **more}
    made.sources = [{"hub": "huggingface", "repository": "team/model"},
                    {"hub": "https", "address": f"{servers[1].url}/x"}]  # fmt: skip
    return made


def both(version):
    return {name: f"{name} {version}".encode() * 9 for name in
            ("config.json", "a.safetensors", "b.safetensors")}  # fmt: skip


def patterns(hub):
    return {"sources": hub.sources[:1], "files": ["*.json", "*.safetensors"]}


def test_a_branch_that_moves_halfway_is_never_mixed(ask, hub):
    hub.move(both(1))
    hub.server.fault(hub.file_path("b.safetensors"), Fault(status=404))
    assert ask(**patterns(hub)).error.id == "source.none-left"
    assert (ask.folder / "a.safetensors").exists()
    hub.move(both(2))
    assert ask(**patterns(hub)).rc == 0
    for name, content in both(2).items():
        assert (ask.folder / name).read_bytes() == content, name
        assert lock(ask)["files"][name]["sha256"] == sha256(content)


def test_a_second_source_adds_only_what_is_known_to_belong(ask, hub, servers):
    hub.move(both(1))
    for name, content in both(2).items():
        servers[1].files[f"/x/{name}"] = content
    hub.server.fault(hub.file_path("config.json"), Fault(status=404))
    names = list(both(1))
    done = ask(sources=hub.sources, files=names)
    assert done.error.id == "source.none-left"
    assert "source.mixed" in [cause.id for cause in done.error.causes]
    assert not (ask.folder / "config.json").exists()
    assert ask(sources=hub.sources, files=names).rc == 0, "the first source answers again"
    assert (ask.folder / "config.json").read_bytes() == both(1)["config.json"]


def test_names_that_a_hub_must_not_use_are_left_out(ask, hub):
    bad = ["../evil.json", "lock.json", ".journal.json", "x/../../evil.json", "back\\slash.json"]
    hub.move({**both(1), **dict.fromkeys(bad, b"{}"), "run.py": b"raise"})
    assert ask(**{**patterns(hub), "files": ["*.json", "*/*.json", "*.safetensors", "run.*"]}).rc
    assert ask(**patterns(hub)).rc == 0
    assert set(lock(ask)["files"]) == set(both(1))
    names = {path.name for path in ask.bench.root.rglob("*")}
    assert not names & {"evil.json", "back\\slash.json", "run.py"}


def test_a_repository_that_is_half_uploaded_is_not_locked(ask, hub):
    hub.move({"config.json": b"{}"})
    done = ask(**patterns(hub))
    assert [cause.id for cause in done.error.causes] == ["source.no-files"]
    assert "*.safetensors" in done.error.causes[0].what()
    hub.move(both(1))
    assert ask(**patterns(hub)).rc == 0
    assert set(lock(ask)["files"]) == set(both(1))


def test_one_more_mirror_or_hash_does_not_fetch_anything_again(ask, hub, servers):
    hub.move(both(1))
    assert ask(**patterns(hub)).rc == 0
    before = len(hub.server.seen)
    for number, change in enumerate((
        {"sources": hub.sources},
        {"sources": hub.sources, "sha256": {"a.safetensors": sha256(both(1)["a.safetensors"])}},
    )):  # fmt: skip
        ask.write(**{**patterns(hub), **change})
        name = f"data/downloads/sample-new{number}"
        assert ask.bench.step("fetch", "--part", "data", "--out", name).rc == 0
        out = ask.bench.root / name
        assert (out / "a.safetensors").read_bytes() == both(1)["a.safetensors"]
        assert set(json.loads((out / "lock.json").read_text())["files"]) == set(both(1))
    assert len(hub.server.seen) == before


def test_what_is_half_fetched_moves_with_the_recipe(ask, hub):
    hub.move(both(1))
    hub.server.fault(hub.file_path("b.safetensors"), Fault(drop_after=50), *[Fault(status=503)] * 9)
    assert ask(**patterns(hub)).error.id == "source.none-left"
    ask.write(**{**patterns(hub), "sources": hub.sources})
    hub.server._faults.clear()
    assert ask.bench.step("fetch", "--part", "data", "--out", "data/downloads/sample-new").rc == 0
    asked = hub.server.requests(hub.file_path("b.safetensors"))
    assert asked[-1].start == 50
    assert not ask.folder.exists()


def wait_for(found):
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if value := found():
            return value
        time.sleep(0.02)
    raise AssertionError("it did not happen in 20 s")
