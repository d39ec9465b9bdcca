"""Hashing again what was locked: states, what is moved aside, what comes back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from host.recipes import given, remote
from host.scripted import ScriptedEngine
from host.test_pipeline import DEFAULTS

from llavakit import recipe as recipes
from llavakit.errors import StepError
from llavakit.host import plan, settings, verifying
from llavakit.host.console import Screen
from llavakit.host.pipeline import Pipeline
from llavakit.host.plan import todo
from llavakit.host.settings import KIT
from llavakit.locks import StepLock, file_sha256
from llavakit.recipe import Recipe
from llavakit.workspace import Workspace

CONTENT = {
    "projector": {"projector.pth": b"p" * 10},
    "vision": {"config.json": b"{}", "m.bin": b"v" * 20},
    "llm": {"config.json": b"{}", "model.safetensors": b"l" * 3_000_000},
}


def pipeline(root: Path, recipe: Recipe) -> Pipeline:
    made = plan.make(recipe, kit=KIT, lock_sha256="0" * 64)
    merged = settings.resolve(DEFAULTS, {"workspace": str(root)})
    engine = ScriptedEngine(lambda _: pytest.fail("nothing needs an engine"))
    return Pipeline(merged, Screen(json_output=True), made, Workspace(root), lambda: engine)


def lock(folder: Path, key: str, files: Mapping[str, bytes], **facts: Any) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_symlink():
            path.write_bytes(content)
    StepLock(folder / "lock.json").write("s", key, [folder / name for name in files], **facts)


@pytest.fixture
def fetched(tmp_path: Path) -> Iterator[Pipeline]:
    """Downloads, and models that are links to them beside a converted file."""
    made = pipeline(tmp_path, remote())
    weights = tmp_path / made.plan.weights
    (weights / "llm").mkdir(parents=True)
    for part, files in CONTENT.items():
        folder = tmp_path / made.plan.downloads[f"fetch-{part}"].folder
        key = made.plan.stage(f"fetch-{part}").key
        first = sorted(files) if part == "llm" else []
        lock(folder, key, files, first_use=first)
    llm = tmp_path / made.plan.downloads["fetch-llm"].folder
    for name in CONTENT["llm"]:
        (weights / "llm" / name).symlink_to(f"../../downloads/{llm.name}/{name}")
    files = {**{f"llm/{name}": data for name, data in CONTENT["llm"].items()},
             "vision/model.safetensors": b"c" * 30}  # fmt: skip
    lock(weights, made.plan.stage("models").key, files)
    yield made


def verified(made: Pipeline) -> dict[str, str]:
    """State and origin by the file's name under models/."""
    screen = made.screen
    try:
        assert verifying.verify(made, screen) == 0
    except StepError as error:
        assert error.id in ("step.drifted", "step.not-verified")
    files = screen._document["files"]
    json.dumps(screen._document)
    return {file["name"].split("/", 1)[1]: f"{file['state']}, {file['origin']}" for file in files}


def stale(made: Pipeline) -> set[str]:
    todos = todo(made.plan, made.workspace, ["models"])
    return {item.stage.label for item in todos if item.action == "run"}


def test_every_file_once_and_how_its_hash_is_known(fetched: Pipeline) -> None:
    states = verified(fetched)
    assert len(states) == 6
    assert {state.split(", ")[0] for state in states.values()} == {"ok"}
    of = {name.rpartition("/")[2]: state for name, state in states.items()}
    assert of["projector.pth"] == "ok, known to the recipe"
    assert of["m.bin"] == "ok, known to the recipe"
    assert sum("safetensors" in name for name in states) == 2
    origins = {state for name, state in states.items() if name.endswith("model.safetensors")}
    assert origins == {"ok, locked at first use", "ok, made here"}


def test_a_changed_download_is_moved_aside_and_wanted_again(
    fetched: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fetched.workspace.root / fetched.plan.downloads["fetch-llm"].folder
    path = folder / "model.safetensors"
    stat = path.stat()
    path.write_bytes(b"m" * stat.st_size)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert stale(fetched) == set(), "size and time are as they were"
    with pytest.raises(StepError) as caught:
        verifying.verify(fetched, fetched.screen)
    assert caught.value.exit_code == 1
    assert "model.safetensors" in caught.value.why
    assert not path.exists()
    assert (folder / "model.safetensors.wrong").read_bytes()[:1] == b"m"
    assert "moved aside" in capsys.readouterr().err
    assert stale(fetched) == {"fetch-llm", "models"}
    assert "missing, locked at first use" in verified(fetched).values()


def test_a_second_wrong_file_does_not_replace_the_first(fetched: Pipeline) -> None:
    folder = fetched.workspace.root / fetched.plan.downloads["fetch-vision"].folder
    for content in (b"one", b"two"):
        (folder / "m.bin").write_bytes(content)
        verified(fetched)
    assert (folder / "m.bin.wrong").read_bytes() == b"one"
    assert (folder / "m.bin.2.wrong").read_bytes() == b"two"


def test_what_was_made_here_is_kept_beside_its_folder(fetched: Pipeline) -> None:
    weights = fetched.workspace.root / fetched.plan.weights
    (weights / "vision/model.safetensors").write_bytes(b"x")
    assert "changed, made here" in verified(fetched).values()
    aside = weights.with_name(f"{weights.name}.wrong")
    assert (aside / "vision/model.safetensors.wrong").read_bytes() == b"x"
    assert stale(fetched) == {"models"}


def test_what_is_not_here_yet_is_not_verified(tmp_path: Path) -> None:
    made = pipeline(tmp_path, remote())
    with pytest.raises(StepError) as caught:
        verifying.verify(made, made.screen)
    assert caught.value.id == "step.not-verified"
    assert "models/downloads/llama-" in caught.value.what()


def test_files_of_the_user_s_are_hashed_where_they_are_and_never_moved(tmp_path: Path) -> None:
    recipe = given(tmp_path / "mine", "llm")
    made = pipeline(tmp_path / "w", recipe)
    path = tmp_path / "mine" / "llm" / "model.safetensors"
    linked = {"llm/model.safetensors": file_sha256(path)}
    weights = tmp_path / "w" / made.plan.weights
    lock(weights, made.plan.stage("models").key, {"projector.pth": b"p"}, linked=linked)
    assert "ok, yours" in verified(made).values()
    path.write_bytes(b"other")
    assert "changed, yours" in verified(made).values()
    assert path.read_bytes() == b"other"


def test_a_narrow_table_says_all_of_it(
    fetched: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    fetched.screen = Screen()
    llm = fetched.plan.downloads["fetch-llm"].folder
    (fetched.workspace.root / llm / "config.json").write_bytes(b"{ }")
    with pytest.raises(StepError):
        verifying.verify(fetched, fetched.screen)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    [changed] = [line for line in out.splitlines() if "changed" in line]
    assert "config.json" in changed
    for words in (str(llm), "model.safetensors", "3.0 MB", "ok, locked at", "ok, made here"):
        assert words in out


def test_hashes_that_nobody_knew_are_listed_by_part(fetched: Pipeline) -> None:
    found = verifying.first_use(fetched)
    assert set(found["llm"]) == set(CONTENT["llm"])
    assert found["vision"] == {}


def test_a_recipe_is_json_again(tmp_path: Path) -> None:
    recipe = remote()
    assert recipes.parse(recipe.resolved(), origin="x") == recipe


def test_states_are_said_in_chinese_too(
    fetched: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    llm = fetched.plan.downloads["fetch-llm"].folder
    (fetched.workspace.root / llm / "config.json").write_bytes(b"{ }")
    with pytest.raises(StepError) as caught:
        verifying.verify(fetched, Screen(lang="zh"))
    assert "已改变" in caught.value.why
    out, err = capsys.readouterr()
    assert "已移至" in err
    for part in ("已改变", "正常, 首次使用时锁定", "在本机生成"):
        assert part in out
