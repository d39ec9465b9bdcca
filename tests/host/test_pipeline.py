"""The pipeline: believes artefacts only, keeps the record, and says what failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from host.scripted import Play, Script, ScriptedEngine

from llavakit import recipe as recipes
from llavakit import record, workspace
from llavakit.engines.base import Job, Outcome
from llavakit.errors import DataError, Interrupted, KitError, StepError, WorkspaceError
from llavakit.host import plan, settings
from llavakit.host.console import Screen
from llavakit.host.making import ALL
from llavakit.host.pipeline import Pipeline
from llavakit.host.settings import KIT
from llavakit.locks import StepLock
from llavakit.workspace import Workspace

DEFAULTS: dict[str, Any] = yaml.safe_load((KIT / "invoke.yaml").read_text())["llavakit"]


def pipeline(root: Path, script: Script, *overrides: str) -> tuple[Pipeline, ScriptedEngine]:
    recipe = recipes.load(KIT / "configs" / "recipes" / "tiny.yaml", overrides)
    made = plan.make(recipe, kit=KIT, lock_sha256="0" * 64)
    engine = ScriptedEngine(script)
    merged = settings.resolve(DEFAULTS, {"workspace": str(root), "gpus": "none"})
    return Pipeline(merged, Screen(), made, Workspace(root), lambda: engine), engine


def working(root: Path) -> Script:
    """Every job leaves its output and lock, as a real step does."""

    def play(job: Job) -> Play:
        key = job.argv[job.argv.index("--key") + 1]
        recipe = recipes.load(root / job.argv[job.argv.index("--recipe") + 1])
        stages = plan.make(recipe, kit=KIT, lock_sha256="0" * 64).stages
        stage = next(stage for stage in stages if stage.key == key)
        lock = root / stage.lock
        lock.parent.mkdir(parents=True, exist_ok=True)
        output = lock.with_suffix(".out")
        output.write_text(stage.label)
        StepLock(lock).write(stage.step, key, [output])
        return Play(lines=("loading", "done"))

    return play


def failure(root: Path, play: Play) -> KitError:
    made, _ = pipeline(root, lambda _: play)
    with pytest.raises(KitError) as caught:
        made.bring_up_to_date(["models"])
    return caught.value


def test_stages_run_in_order_and_only_once(tmp_path: Path) -> None:
    made, engine = pipeline(tmp_path, working(tmp_path))
    made.bring_up_to_date(ALL)
    assert [job.name for job in engine.jobs] == list(ALL)
    made.bring_up_to_date(ALL)
    assert len(engine.jobs) == len(ALL)


def test_the_engine_is_not_opened_when_nothing_runs(tmp_path: Path) -> None:
    pipeline(tmp_path, working(tmp_path))[0].bring_up_to_date(ALL)
    made, _ = pipeline(tmp_path, working(tmp_path))
    made.open_engine = lambda: pytest.fail("opened for nothing")
    made.bring_up_to_date(ALL)


def test_every_job_is_offline_and_weights_are_read_only(tmp_path: Path) -> None:
    made, engine = pipeline(tmp_path, working(tmp_path))
    made.bring_up_to_date(ALL)
    for job in engine.jobs:
        assert not job.network
        assert job.env["HF_HUB_OFFLINE"] == "1"
        assert all(mount.read_only for mount in job.mounts)
    training = next(job for job in engine.jobs if job.name == "train")
    assert {mount.target for mount in training.mounts} == {"models", "data"}


def test_success_without_an_artefact_is_a_failure(tmp_path: Path) -> None:
    error = failure(tmp_path, Play(lines=("all is well",)))
    assert error.id == "step.no-result"
    assert error.why == "all is well"


def test_an_exit_status_is_a_failure_and_the_output_is_kept(tmp_path: Path) -> None:
    error = failure(tmp_path, Play(lines=("words", "最后一行"), outcome=Outcome(exit_code=3)))
    assert error.id == "step.failed"
    assert "exit status 3" in error.what()
    assert error.why == "words\n最后一行"
    logs = list(tmp_path.glob("runs/*/logs/models.log"))
    assert [log.read_text() for log in logs] == ["words\n最后一行\n"]


def test_a_step_s_own_error_is_raised_as_it_is(tmp_path: Path) -> None:
    line = DataError("no-file", file="x.json", folder="y").to_wire()
    error = failure(tmp_path, Play(lines=("noise", line), outcome=Outcome(exit_code=1)))
    assert isinstance(error, DataError)
    assert error.id == "data.no-file"


def test_an_unexpected_error_of_a_step_shows_the_end_of_its_output(tmp_path: Path) -> None:
    line = StepError("failed", step="models", how="KeyError: 'x'", log="elsewhere").to_wire()
    error = failure(tmp_path, Play(lines=("Traceback", line), outcome=Outcome(exit_code=1)))
    assert error.why == "Traceback"
    assert "logs/models.log" in error.remedy()


def test_running_out_of_memory_is_said_even_with_exit_status_0(tmp_path: Path) -> None:
    error = failure(tmp_path, Play(outcome=Outcome(exit_code=0, out_of_memory=True)))
    assert error.id == "step.out-of-memory"


def test_ctrl_c_stops_the_job_and_says_how_to_go_on(tmp_path: Path) -> None:
    made, engine = pipeline(tmp_path, lambda _: Play(interrupt=True))
    with pytest.raises(Interrupted) as caught:
        made.bring_up_to_date(["models"])
    assert caught.value.exit_code == 130
    assert engine.started[0].stopped
    assert engine.started[0].waited


def test_the_record_grows_with_every_stage(tmp_path: Path) -> None:
    made, _ = pipeline(tmp_path, working(tmp_path))
    made.bring_up_to_date(ALL)
    body = record.read(made.run_dir)
    assert body is not None
    assert [stage["label"] for stage in body["provenance"]["stages"]] == list(ALL)
    assert body["identity"]["seed"] == 0
    assert set(body["results"]["artefacts"]) == set(ALL)
    assert str(tmp_path) not in json.dumps(body["identity"])


def test_a_failed_stage_is_in_the_record(tmp_path: Path) -> None:
    made, _ = pipeline(tmp_path, lambda _: Play(outcome=Outcome(exit_code=9)))
    with pytest.raises(StepError):
        made.bring_up_to_date(["models"])
    body = record.read(made.run_dir)
    assert body is not None
    assert body["provenance"]["stages"][0]["error"] == "step.failed"


def test_a_run_that_another_process_works_on_is_followed_not_started_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, engine = pipeline(tmp_path, working(tmp_path))
    answers = iter([True, True, False])

    def stranger(_: Path) -> bool:
        busy = next(answers, False)
        if not busy:  # the other process finished its work just before it let go
            working(tmp_path)(made.job(made.plan.stage("models")))
        return busy

    monkeypatch.setattr(workspace, "is_busy", stranger)
    made.bring_up_to_date(["models"])
    assert engine.jobs == []
    body = record.read(made.run_dir)
    assert body is not None
    assert [stage["engine"] for stage in body["provenance"]["stages"]] == [None]


@pytest.mark.parametrize(("of_this_run", "starts"), [(True, 2), (False, 1)])
def test_a_busy_run_is_tried_again_and_a_busy_output_is_refused(
    tmp_path: Path, of_this_run: bool, starts: int
) -> None:
    made, engine = pipeline(tmp_path, working(tmp_path))
    folder = made.plan.run if of_this_run else made.plan.weights
    line = WorkspaceError("busy", folder=folder).to_wire()
    plays = iter([Play(lines=(line,), outcome=Outcome(exit_code=1))])
    engine.script = lambda job: next(plays, None) or working(tmp_path)(job)
    if of_this_run:
        made.bring_up_to_date(["models"])
    else:
        with pytest.raises(WorkspaceError):
            made.bring_up_to_date(["models"])
    assert len(engine.jobs) == starts


def test_what_its_artefact_proves_is_no_failure(tmp_path: Path) -> None:
    """The out-of-memory flag can be set for a child that the step did without."""

    def play(job: Job) -> Play:
        working(tmp_path)(job)
        return Play(outcome=Outcome(exit_code=0, out_of_memory=True))

    made, _ = pipeline(tmp_path, play)
    made.bring_up_to_date(["models"])


def test_the_recipe_is_there_for_a_job_that_needs_no_stage(tmp_path: Path) -> None:
    pipeline(tmp_path, working(tmp_path))[0].bring_up_to_date(["models"])
    made, _ = pipeline(tmp_path, working(tmp_path), "ask.max_new_tokens=7")
    made.bring_up_to_date(["models"])
    assert recipes.load(made.run_dir / "recipe.json").ask.max_new_tokens == 7


def test_a_recipe_that_needs_a_gpu_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    made, engine = pipeline(tmp_path, working(tmp_path), "train.llm_quantization=nf4")
    with pytest.raises(StepError) as caught:
        made.bring_up_to_date(["train"])
    assert caught.value.id == "step.needs-gpu"
    assert "invoke demo" in caught.value.remedy()
    assert engine.jobs == []


def test_too_little_disk_is_said_before_anything_starts(tmp_path: Path) -> None:
    made, engine = pipeline(tmp_path, working(tmp_path), "needs.disk_gib=1e9")
    with pytest.raises(WorkspaceError) as caught:
        made.bring_up_to_date(["train"])
    assert caught.value.id == "workspace.too-little-disk"
    assert engine.jobs == []
