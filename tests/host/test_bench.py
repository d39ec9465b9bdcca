"""`invoke bench` on the host's side: what is measured, in which order, and what is said of it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from host.scripted import Play, Script, ScriptedEngine
from host.test_pipeline import DEFAULTS, working

from llavakit import recipe as recipes
from llavakit.engines.base import Job, Outcome
from llavakit.errors import ConfigurationError, KitError, StepError
from llavakit.host import bench, bench_report, plan, preflight, settings
from llavakit.host.console import Screen
from llavakit.host.pipeline import Pipeline
from llavakit.host.settings import KIT
from llavakit.locks import write_json
from llavakit.workspace import Workspace

GPU = {"name": "NVIDIA H100", "driver": "580.1", "uuid": "GPU-1", "total_mib": 81559}
MEASURED: dict[str, Any] = {
    "version": 1,
    "state": "measured",
    "reason": "",
    "first_iteration_s": 40.0,
    "seconds_per_iteration": {"median": 0.8, "p10": 0.7, "p90": 1.0, "counted": 5},
    "times_s": [40.0, 41.0],
    "losses": [12.5, 9.25],
    "peaks": {"gpu_mib": 43000, "memory_mib": 12000, "host_memory_mib": 1, "disk_mib": 0},
    "gpu": GPU,
    "squeeze": None,
}
FASTER = {**MEASURED, "first_iteration_s": 10.0, "losses": [12.5, 9.0]}
Results = Mapping[str, Mapping[str, Any] | Play]


def jobs_leave(root: Path, results: Results) -> Script:
    """Inputs are made; each measurement writes the result of its label, or plays what is there."""

    def play(job: Job) -> Play:
        if job.argv[1] != "llavakit.steps.bench":
            return working(root)(job)
        words = dict(zip(job.argv[2::2], job.argv[3::2], strict=False))
        found = results[words["--label"]]
        if isinstance(found, Play):
            return found
        body = dict(found)
        if body.pop("interrupt", False):
            write_json(root / words["--out"], body)
            return Play(interrupt=True)
        write_json(root / words["--out"], body)
        return Play()

    return play


Make = Callable[..., tuple[Callable[..., int], ScriptedEngine, Screen]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """`invoke bench` with an engine whose jobs leave ``results``."""

    def make(
        results: Results | None = None, **said: bool
    ) -> tuple[Callable[..., int], ScriptedEngine, Screen]:
        results = results or {"plain": MEASURED, "tiny": FASTER}
        engine, screen = ScriptedEngine(jobs_leave(tmp_path, results)), Screen(**said)
        merged = settings.resolve(DEFAULTS, {"workspace": str(tmp_path), "gpus": "none"})

        def open_pipeline(name: str) -> Pipeline:
            recipe = recipes.load(KIT / "configs" / "recipes" / f"{name}.yaml")
            if recipe.rehearsal is not None:
                recipe = recipe.model_copy(update={"weights": recipe.rehearsal, "rehearsal": None})
            made = plan.make(recipe, kit=KIT, lock_sha256="0" * 64)
            return Pipeline(merged, screen, made, Workspace(tmp_path), lambda: engine, agreed=True)

        def run(**options: Any) -> int:
            options = {"plain": True, "iterations": "10", "yes": True, **options}
            return bench.run(open_pipeline, options, screen, "tiny")

        return run, engine, screen

    return make


def written(root: Path) -> dict[str, Any]:
    [found] = root.glob("runs/bench-*/bench.json")
    content: dict[str, Any] = json.loads(found.read_text())
    return content


def test_plain_xtuner_comes_first_then_the_recipe(make: Make, tmp_path: Path) -> None:
    run, engine, _ = make()
    assert run() == 0
    assert [job.name for job in engine.jobs] == ["models", "data", "plain", "tiny"]
    first, second = (dict(zip(job.argv[2::2], job.argv[3::2], strict=False))
                     for job in engine.jobs[2:])  # fmt: skip
    assert (first["--kind"], second["--kind"]) == ("plain", "kit")
    assert first["--run"] == second["--run"]
    assert first["--weights"] == second["--weights"]
    assert first["--iterations"] == "10"
    for job in engine.jobs[2:]:
        assert job.labels["run"] == Path(first["--run"]).name
        read_only = {mount.target for mount in job.mounts if mount.read_only}
        assert read_only >= {"models", "data"}
        assert not job.network


def test_only_the_first_one_warms_the_page_cache(make: Make) -> None:
    run, engine, _ = make()
    run()
    assert ["--warm" in job.argv for job in engine.jobs[2:]] == [True, False]


def test_what_was_seen_is_written_with_ratios(make: Make, tmp_path: Path) -> None:
    run, _, _ = make()
    run()
    content = written(tmp_path)
    plain, kit = content["rows"]
    assert (plain["maths"], kit["maths"]) == ("reference", "identical")
    assert plain["to_plain"] == {}
    assert kit["to_plain"] == {
        "first_iteration_s": 0.25, "s_per_iteration": 1.0, "gpu_mib": 1.0, "memory_mib": 1.0,
    }  # fmt: skip
    assert kit["largest_loss_difference"] == 0.25
    assert kit["losses"] == [12.5, 9.0]
    assert content["machine"]["gpu"] == GPU
    assert content["version"] == 1
    for key in ("kit", "lock", "steps", "created", "engine"):
        assert content[key], key


def test_changed_maths_are_said_in_words(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "check", lambda *args, **more: None)
    run, _, _ = make({"plain": MEASURED, "tutorial-16g": FASTER})
    run(recipes="tutorial-16g")
    plain, kit = written(tmp_path)["rows"]
    assert (plain["maths"], plain["changed"]) == ("reference", None)
    assert kit["maths"] == "changed"
    assert "8 bits" in kit["changed"]
    [text] = [path.read_text() for path in tmp_path.glob("runs/bench-*/bench.md")]
    assert f"- tutorial-16g: {kit['changed']}." in text


def test_the_markdown_says_the_same(make: Make, tmp_path: Path) -> None:
    run, _, _ = make()
    run()
    [text] = [path.read_text() for path in tmp_path.glob("runs/bench-*/bench.md")]
    assert "NVIDIA H100, driver 580.1" in text
    assert "| plain XTuner | 40.0 | 0.800 (0.700, 1.000) | 43000 | 12000 | 0 | reference |" in text
    assert "| tiny | 10.0 [0.25 x] | 0.800 (0.700, 1.000) [1.00 x] |" in text
    assert "| loss at iteration | 1 | 2 | furthest from plain | on average |" in text
    assert "| plain XTuner | 12.5000 | 9.2500 |  |  |" in text
    assert "| tiny | 12.5000 | 9.0000 | 0.2500 | 0.1250 |" in text
    assert "what they pin" in text


def test_without_plain_xtuner_no_loss_is_far_from_it(make: Make, tmp_path: Path) -> None:
    run, _, _ = make({"tiny": {**FASTER, "losses": [12.5, None, 3.0]}})
    run(plain=False)
    [text] = [path.read_text() for path in tmp_path.glob("runs/bench-*/bench.md")]
    assert "| loss at iteration | 1 | 2 | 3 |\n|---|---|---|---|\n" in text
    assert "| tiny | 12.5000 | not finite | 3.0000 |" in text


def test_the_table_fits_80_columns(make: Make, monkeypatch: pytest.MonkeyPatch,
                                   capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", "80")
    squeezed = {**FASTER, "squeeze": {"leave_mib": 22000, "held_mib": 58000, "free_mib": 22000}}
    run, _, _ = make({"plain": MEASURED, "tiny": squeezed})
    run()
    shown = capsys.readouterr().out
    for word in ("plain XTuner", "43000", "0.25 x", "22000 MiB left", "identical", "40.0"):
        assert word in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_the_table_speaks_chinese(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    run, _, _ = make(lang="zh")
    run()
    shown = capsys.readouterr().out
    assert "显存" in shown
    assert "基准" in shown


def test_json_is_the_whole_document(make: Make, capsys: pytest.CaptureFixture[str],
                                    tmp_path: Path) -> None:  # fmt: skip
    run, _, screen = make(json_output=True)
    assert screen.close(run()) == 0
    assert json.loads(capsys.readouterr().out) == written(tmp_path)


FAILED = {**MEASURED, "state": "failed", "reason": "OutOfMemoryError: CUDA out of memory"}


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        (FAILED, "CUDA out of memory"),
        (Play(lines=("a last line",), outcome=Outcome(137)), "a last line"),
        (Play(lines=(StepError("needs-gpu", recipe="r").to_wire(),)), "needs an NVIDIA GPU"),
    ],
)
def test_one_that_fails_is_a_row_and_the_others_are_measured(
    make: Make, tmp_path: Path, plain: Mapping[str, Any] | Play, said: str
) -> None:
    run, _, _ = make({"plain": plain, "tiny": FASTER})
    with pytest.raises(StepError) as caught:
        run()
    assert caught.value.id == "step.bench-failed"
    assert "plain" in caught.value.what()
    first, second = written(tmp_path)["rows"]
    assert (first["state"], second["state"]) == ("failed", "measured")
    assert said in first["reason"]
    assert second["to_plain"] == {}
    [text] = [path.read_text() for path in tmp_path.glob("runs/bench-*/bench.md")]
    assert said in text
    assert "FAILED" in text


def test_ctrl_c_leaves_what_is_there(make: Make, tmp_path: Path,
                                     capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    stopped = {**FASTER, "state": "interrupted", "interrupt": True}
    run, engine, _ = make({"plain": MEASURED, "tiny": stopped})
    with pytest.raises(KeyboardInterrupt):
        run(recipes="tiny,tiny")
    assert engine.started[-1].stopped
    assert engine.started[-1].waited
    rows = written(tmp_path)["rows"]
    assert [row["state"] for row in rows] == ["measured", "interrupted"]
    assert rows[1]["losses"] == FASTER["losses"]
    assert rows[1]["to_plain"] == {}, "its peaks are of a part"
    assert "stopped" in capsys.readouterr().out


def test_the_same_recipe_twice_has_two_names(make: Make, tmp_path: Path) -> None:
    run, engine, _ = make({"tiny": MEASURED, "tiny-2": FASTER})
    run(recipes="tiny, tiny", plain=False)
    assert [row["label"] for row in written(tmp_path)["rows"]] == ["tiny", "tiny-2"]
    assert [job.name for job in engine.jobs] == ["models", "data", "tiny", "tiny-2"]


def test_a_recipe_that_needs_a_gpu_is_refused_where_there_is_none(make: Make) -> None:
    run, engine, _ = make()
    with pytest.raises(StepError) as caught:
        run(recipes="tutorial")
    assert caught.value.id == "step.needs-gpu"
    assert engine.jobs == []


def test_what_the_host_has_not_for_one_is_measured_for_the_others(
    make: Make, tmp_path: Path
) -> None:
    run, engine, _ = make({"tiny": FASTER})
    with pytest.raises(StepError):
        run(recipes="tutorial,tiny")
    assert [job.name for job in engine.jobs] == ["models", "data", "tiny"]
    states = [row["state"] for row in written(tmp_path)["rows"]]
    assert states == ["failed", "failed", "measured"]


def test_each_is_left_what_it_says_it_needs(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "check", lambda *args, **more: None)
    names = ("plain", "tutorial", "tutorial-24g")
    run, engine, _ = make(dict.fromkeys(names, MEASURED))
    run(recipes="tutorial,tutorial-24g", squeeze=True)
    argv = {job.name: job.argv for job in engine.jobs}
    assert "--squeeze" not in argv["plain"]
    for name in names[1:]:
        need = recipes.load(KIT / "configs" / "recipes" / f"{name}.yaml").needs.gpu_mib
        assert argv[name][argv[name].index("--squeeze") + 1] == str(need)
    assert [job.name for job in engine.jobs].count("models") == 1, "they share their weights"


@pytest.mark.parametrize("count", ["", "1", "-5", "many", "1e3"])
def test_a_number_of_iterations_that_is_none(make: Make, count: str) -> None:
    run, _, _ = make()
    with pytest.raises(ConfigurationError) as caught:
        run(iterations=count)
    assert "--iterations" in caught.value.what()


def test_a_long_one_is_asked_about(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "check", lambda *args, **more: None)
    run, engine, _ = make()
    with pytest.raises(KitError) as caught:
        run(recipes="tutorial", iterations="1199", yes=False)
    assert caught.value.id == "configuration.needs-consent"
    assert engine.jobs == []


def test_the_plan_runs_and_writes_nothing(make: Make, tmp_path: Path,
                                          capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    run, engine, screen = make(json_output=True)
    assert screen.close(run(plan=True)) == 0
    body = json.loads(capsys.readouterr().out)
    assert [job["label"] for job in body["jobs"]] == ["plain", "tiny"]
    assert {stage["stage"] for stage in body["stages"]} == {"models", "data"}
    assert engine.jobs == []
    assert list(tmp_path.iterdir()) == []


def test_a_row_without_figures_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"label": "a", "kind": "kit", "recipe": "a", "maths": "changed", "state": "failed",
           "reason": "no | reason\nat all"}  # fmt: skip
    content = bench_report.body("bench-1", "now", [row], None)
    assert "FAILED" in bench_report.markdown(content)
    Screen().result(None, table=bench_report.table_of(content, "en"))
    assert "FAILED" in capsys.readouterr().out


def test_signals_that_come_together_interrupt_once() -> None:
    caught = 0
    with bench._interrupted_once():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            caught += 1
            signal.raise_signal(signal.SIGINT)
    assert caught == 1
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
