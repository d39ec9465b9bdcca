"""What a command says at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from host import recipes
from host.recipes import remote
from host.scripted import Play, ScriptedEngine
from host.test_pipeline import DEFAULTS

from llavakit.engines.base import Job
from llavakit.host import making, plan, settings
from llavakit.host.call import Call
from llavakit.host.console import Screen
from llavakit.host.pipeline import Pipeline
from llavakit.host.settings import KIT
from llavakit.locks import StepLock
from llavakit.workspace import Workspace


def call(root: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Call:
    """`invoke models` for weights whose vision tower nobody knows a hash of."""
    made = plan.make(remote(), kit=KIT, lock_sha256="0" * 64)

    def play(job: Job) -> Play:
        stage = made.stage(job.name)
        folder = (root / stage.lock).parent
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "a.bin").write_text(job.name)
        first = ["a.bin"] if job.name == "fetch-vision" else []
        StepLock(root / stage.lock).write("s", stage.key, [folder / "a.bin"], first_use=first)
        return Play()

    merged = settings.resolve(DEFAULTS, {"workspace": str(root), "gpus": "none"})
    screen = Screen(json_output=bool(options.get("json")))
    pipeline = Pipeline(merged, screen, made, Workspace(root), lambda: ScriptedEngine(play))
    monkeypatch.setattr(Call, "pipeline", lambda self: pipeline)
    return Call(merged, options, screen)


def test_models_end_with_how_many_hashes_nobody_knew_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert making.models(call(tmp_path, monkeypatch)) == 0
    err = capsys.readouterr().err
    [last] = [line for line in err.splitlines() if line.startswith("first use")]
    assert err.endswith(f"{last}\n")
    folder = call(tmp_path, monkeypatch).pipeline().plan.downloads["fetch-vision"].folder
    assert last.endswith(f" files locked: 1, in {folder}/lock.json")
    assert "sha256" not in err, "the step has told it"
    assert making.models(call(tmp_path, monkeypatch)) == 0
    err = capsys.readouterr().err
    assert "up to date" in err
    assert "first use" not in err


def test_what_another_command_fetched_meanwhile_is_for_that_one_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (call(tmp_path, monkeypatch) for _ in range(2))
    pipeline = second.pipeline()
    wait = pipeline.bring_up_to_date

    def after_the_first(targets: Any) -> Any:
        monkeypatch.setattr(pipeline, "bring_up_to_date", wait)
        making.models(first)
        capsys.readouterr()
        return wait(targets)

    monkeypatch.setattr(pipeline, "bring_up_to_date", after_the_first)
    making.models(second)
    assert "first use" not in capsys.readouterr().err


def test_a_program_gets_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = call(tmp_path, monkeypatch, json=True)
    making.models(made)
    assert list(made.screen._document["first_use"]) == ["vision"]
    assert made.screen._document["stages"]["fetch-llm"] == "run"


def test_weights_of_ones_own_in_a_recipe_without_a_projector_are_warned_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipes.given(tmp_path)
    for part, said in (("llm", True), ("vision", True), ("projector", False)):
        where = tmp_path / ("projector.pth" if part == "projector" else part)
        options = {"workspace": str(tmp_path / "w"), part: str(where)}
        Call(settings.resolve(DEFAULTS, options), options, Screen()).pipeline()
        err = capsys.readouterr().err
        assert ("drawn and untrained" in err) is said
        assert err.count("\n") == said
