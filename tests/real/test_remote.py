"""Weights and data from elsewhere: the whole job through real clients, then what goes wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from real.command_line import Kit
from real.remote import TOKEN, Hubs, serve
from servers.faulty import Fault

pytestmark = pytest.mark.environment
HTML = b"<!doctype html><title>Please sign in</title>"


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubs]:
    with serve(tmp_path_factory.mktemp("hubs")) as made:
        yield made


@pytest.fixture(scope="module")
def kit(engine: str, hubs: Hubs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    """A workspace in which the whole job ran on fetched weights and data."""
    made = Kit(tmp_path_factory.mktemp(f"remote {engine} 远程") / "w", hubs.env)
    made.more |= {"INVOKE_LLAVAKIT_ENGINE": engine, "INVOKE_LLAVAKIT_RECIPE": str(hubs.recipe)}
    done = made.run("compare")
    assert done.returncode == 0, done.stderr
    (made.root / "compare.log").write_text(done.stderr)
    yield made
    made.run("clean", "--yes")


def test_fetched_weights_train_and_answer_as_the_drawn_ones_do(kit: Kit) -> None:
    means = kit.result("compare")["means"]
    assert means["after"]["rouge_l"] == 1.0
    assert means["before"]["rouge_l"] == 0.0
    assert kit.iterations() == list(range(1, 81))


def test_what_was_fetched_is_said_with_its_licence_before_and_its_locks_after(kit: Kit) -> None:
    said = (kit.root / "compare.log").read_text()
    licence = said.index("https://example.com/licence")
    assert licence < said.index("fetch-projector")
    assert "ModelScope team/none@master has no" in said, "a source that failed is named"
    assert "little-clip from Hugging Face team/model@main" in said
    assert "locked at first use: model.safetensors sha256" in said
    assert "conversations.json sha256" not in said, "the recipe knows it"


def test_code_of_a_repository_is_not_even_fetched(kit: Kit) -> None:
    names = {path.name for path in (kit.root / "models").rglob("*")}
    assert "model.safetensors" in names
    assert not {name for name in names if name.endswith((".py", ".md"))}


def test_a_second_call_asks_nobody(kit: Kit, hubs: Hubs) -> None:
    before = hubs.count()
    done = kit.run("compare")
    assert done.returncode == 0, done.stderr
    assert "fetch" not in done.stderr
    assert hubs.count() == before


def test_a_token_is_kept_nowhere(kit: Kit, hubs: Hubs) -> None:
    assert [seen for seen in hubs.huggingface.server.seen if TOKEN in str(seen.headers)]
    plan = kit.run("models", "--plan", "--set", "seed=9")
    assert TOKEN not in plan.stdout + plan.stderr
    for path in kit.root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert TOKEN.encode() not in path.read_bytes(), path


def test_the_record_holds_what_was_fetched(kit: Kit) -> None:
    (record,) = kit.root.glob("runs/*/run.json")
    body = json.loads(record.read_text())
    weights = body["identity"]["weights"]
    assert {"llm/model.safetensors", "vision/model.safetensors", "projector.pth"} <= set(weights)


def test_verify_finds_one_changed_byte_and_models_mends_it(kit: Kit) -> None:
    whole = kit.run("models", "--verify")
    assert whole.returncode == 0, whole.stderr
    (path,) = kit.root.glob("models/downloads/little-llama-*/model.safetensors")
    content, times = path.read_bytes(), path.stat()
    path.write_bytes(content[:-1] + b"\0" if content[-1] else content[:-1] + b"\1")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    torn = kit.run("models", "--verify", "--json")
    assert torn.returncode == 1
    states = {row["name"]: row["state"] for row in json.loads(torn.stdout)["files"]}
    assert states.pop(str(path.relative_to(kit.root))) == "changed"
    assert set(states.values()) == {"ok"}
    assert path.with_name("model.safetensors.wrong").exists()
    mended = kit.run("models")
    assert mended.returncode == 0, mended.stderr
    assert path.read_bytes() == content
    assert kit.run("models", "--verify").returncode == 0


def test_check_says_what_can_be_had_from_where(kit: Kit) -> None:
    rows = kit.result("models", "--check")
    states = {(row["artefact"], row["source"]): row["state"] for row in rows["sources"]}
    assert states["little-llama", "ModelScope team/model@master"] == "ok"
    assert states["little-clip", "Hugging Face team/model@main"] == "ok"
    assert states["little-clip", "ModelScope team/none@master"] != "ok"


def test_a_web_page_instead_of_a_file_is_refused_and_not_kept(
    kit: Kit, hubs: Hubs, tmp_path: Path
) -> None:
    other = Kit(tmp_path / "w", kit.more)
    path = hubs.huggingface.file_path("config.json")
    hubs.huggingface.server.fault(path, Fault(body=HTML, headers={"Content-Type": "text/html"}))
    done = other.run("models")
    assert done.returncode == 1
    assert "sent a web page instead of config.json" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(other.root.rglob("config.json"))
    assert other.run("models").returncode == 0, "the next call goes on"


def test_a_folder_of_ones_own_is_taken_and_a_projector_that_does_not_fit_is_not(
    kit: Kit, hubs: Hubs, tmp_path: Path
) -> None:
    other = Kit(tmp_path / "w", kit.more)
    (llm,) = kit.root.glob("models/downloads/little-llama-*")
    (vision,) = kit.root.glob("models/downloads/little-clip-*")
    (projector,) = kit.root.glob("models/downloads/little-projector-*/iter_7.pth")
    before = hubs.count()
    mine = ("--llm", str(llm), "--vision", str(vision))
    done = other.run("compare", *mine, "--projector", str(projector))
    assert done.returncode == 0, done.stderr
    (record,) = other.root.glob("runs/*/run.json")
    assert str(llm) not in record.read_text()
    assert "llm/model.safetensors" in json.loads(record.read_text())["identity"]["weights"]
    web = [seen for seen in hubs.web.seen if seen.method == "GET"]
    assert web, "the data still come from elsewhere"
    assert hubs.count() - before <= 2 * len(hubs.web.seen), "and no weights do"
    wrong = other.run("models", *mine, "--projector", str(vision / "pytorch_model.bin"))
    assert wrong.returncode == 1
    assert "has the shape" in wrong.stderr
