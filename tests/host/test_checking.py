"""What the sources have: one table, and an exit status that says whether all can be had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from host.recipes import given, remote
from host.scripted import Play, ScriptedEngine
from host.test_pipeline import DEFAULTS

from llavakit.engines.base import Job, Outcome
from llavakit.errors import KitError, SourceError, StepError
from llavakit.host import checking, plan, settings
from llavakit.host.console import Screen
from llavakit.host.pipeline import Pipeline
from llavakit.host.settings import KIT
from llavakit.recipe import Recipe
from llavakit.workspace import Workspace

SILENT = SourceError("unreachable", source="Hugging Face maker/llama@main", why="timed out")
GOOD: dict[str, Any] = {
    "source": "ModelScope maker/llama@master", "state": "ok", "files": 9, "bytes": 16_060_617_592,
    "revision": "0123456789abcdef", "ms": 431.2, "rate": 8_123_456.0, "error": None,
}  # fmt: skip
BAD: dict[str, Any] = {
    "source": SILENT.params["source"], "state": SILENT.id, "files": None, "bytes": None,
    "revision": "", "ms": None, "rate": None, "error": SILENT.to_wire(),
}  # fmt: skip


def pipeline(root: Path, recipe: Recipe, *sources: dict[str, Any]) -> Pipeline:
    """The check of ``recipe``; every artefact has these sources, or the job dies without any."""

    def play(job: Job) -> Play:
        if not sources:
            return Play(lines=("Killed",), outcome=Outcome(exit_code=137))
        read = json.loads((root / job.argv[job.argv.index("--recipe") + 1]).read_text())
        names = {part: each["name"] for part, each in read["weights"].items() if "name" in each}
        rows = [
            {"part": part, "artefact": name, "sources": list(sources)}
            for part, name in names.items()
        ]
        out = root / job.argv[job.argv.index("--out") + 1]
        out.write_text(json.dumps({"version": 1, "artefacts": rows}))
        return Play()

    made = plan.make(recipe, kit=KIT, lock_sha256="0" * 64)
    merged = settings.resolve(DEFAULTS, {"workspace": str(root)})
    engine = ScriptedEngine(play)
    return Pipeline(merged, Screen(), made, Workspace(root), lambda: engine)


def raised(made: Pipeline) -> KitError:
    with pytest.raises(KitError) as caught:
        checking.check(made, made.screen)
    return caught.value


def test_a_job_with_a_network_asks_and_writes_nothing_but_its_answer(tmp_path: Path) -> None:
    made = pipeline(tmp_path, remote(), GOOD)
    assert checking.check(made, made.screen) == 0
    engine = made.engine()
    assert isinstance(engine, ScriptedEngine)
    [job] = engine.jobs
    assert job.network
    assert {mount.target for mount in job.mounts} >= {"models", "data"}
    assert list((tmp_path / "runs").iterdir()) == []


def test_each_source_has_its_lines_and_one_that_answers_is_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = pipeline(tmp_path, remote("llm"), BAD, GOOD)
    assert checking.check(made, made.screen) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "llm: llama"
    told = dict(zip(lines[1::2], lines[2::2], strict=False))
    [good] = [state for source, state in told.items() if "ModelScope" in source]
    assert good.strip().startswith("ok: 9 files, 16.1 GB, 8.1 MB/s, answers in 431 ms, at 01234567")
    [bad] = [state for source, state in told.items() if "Hugging Face" in source]
    assert bad.strip() == "does not answer"
    assert max(map(len, lines)) <= 80
    assert out.count("drawn here") == 2
    assert SILENT.what() in err


def test_an_artefact_that_no_source_has_is_an_error_with_its_causes(tmp_path: Path) -> None:
    error = raised(pipeline(tmp_path, remote(), BAD, {**BAD, "state": "source.new-kind"}))
    assert error.exit_code == 1
    assert "projector" in error.what()
    assert [cause.id for cause in error.causes] == [SILENT.id] * 6


def test_a_job_that_dies_is_said_as_it_was(tmp_path: Path) -> None:
    error = raised(pipeline(tmp_path, remote()))
    assert isinstance(error, StepError)
    assert error.why == "Killed"


def test_an_older_answer_is_never_shown(tmp_path: Path) -> None:
    made = pipeline(tmp_path, remote(), GOOD)
    checking.check(made, made.screen)
    assert isinstance(raised(pipeline(tmp_path, remote())), StepError)


def test_nothing_is_started_where_nothing_comes_from_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    made = pipeline(tmp_path / "w", given(tmp_path / "mine", "llm"))
    made.open_engine = lambda: pytest.fail("opened for nothing")
    assert checking.check(made, made.screen) == 0
    out, err = capsys.readouterr()
    assert f"yours: {tmp_path / 'mine' / 'llm'}" in out
    assert "drawn here" in out
    assert "nothing of this recipe comes from elsewhere" in err
    assert not (tmp_path / "w").exists()


def test_states_are_said_in_chinese_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = pipeline(tmp_path, remote("llm"), BAD, GOOD)
    assert checking.check(made, Screen(lang="zh")) == 0
    out = capsys.readouterr().out
    for part in ("没有响应", "可用: 9 个文件, 16.1 GB", "版本 01234567", "在本机生成"):
        assert part in out
