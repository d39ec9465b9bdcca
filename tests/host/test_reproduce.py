"""`invoke reproduce`: from the record alone, refused where bytes differ, judged in one line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from host.recipes import given as given_recipe
from host.scripted import Play, Script, ScriptedEngine
from host.test_pipeline import DEFAULTS

from llavakit import recipe as recipes
from llavakit import record
from llavakit.engines.base import Job, Outcome
from llavakit.errors import KitError, RecordError
from llavakit.events import EventWriter
from llavakit.host import environment, given, plan, references, reproducing, runs, settings
from llavakit.host.console import Screen
from llavakit.host.making import ALL
from llavakit.host.pipeline import Pipeline
from llavakit.host.settings import KIT
from llavakit.locks import StepLock
from llavakit.recipe import Recipe
from llavakit.workspace import Workspace

MACHINE = {"python": "3.10.13", "cpu": "Some CPU", "instructions": "AVX512", "threads": 1}
LOSSES = (4.0, 3.0, 2.0, 1.0)


def training(
    root: Path, made: plan.Plan, losses: tuple[float, ...] = LOSSES, **machine: Any
) -> Script:
    """Steps that leave what real ones leave; the trained weights are a function of the losses."""

    def play(job: Job) -> Play:
        stage = made.stage(job.name)
        lock = root / stage.lock
        lock.parent.mkdir(parents=True, exist_ok=True)
        files = [lock.with_suffix(".out")]
        if job.name == "models":  # drawn: its last bits are the machine's
            files = [lock.parent / "llm" / "model.safetensors"]
            files[0].parent.mkdir(exist_ok=True)
        files[0].write_text(str(machine) if job.name == "models" else stage.label)
        if job.name == "train":
            files = _trained(root / made.run, losses, {**MACHINE, **machine})
        StepLock(lock).write(stage.step, stage.key, files)
        return Play()

    return play


def _trained(run: Path, losses: tuple[float, ...], machine: dict[str, Any]) -> list[Path]:
    events = EventWriter(run, "train")
    events.emit("started")
    events.emit("machine", **machine)
    rows = [{"iteration": n, "loss": loss, "lr": 0.1} for n, loss in enumerate(losses, 1)]
    for row in rows:
        events.emit("iteration", n=row["iteration"], of=len(losses), loss=row["loss"])
    files = [run / "train" / "iter_4_weights.pth", run / "train" / "history.json"]
    for file in files:
        file.write_text(json.dumps(rows))
    return files


def pipelines(
    root: Path, losses: tuple[float, ...] = LOSSES, script: Script | None = None, **machine: Any
) -> Callable[..., Pipeline]:
    """What the command line opens for a fresh run of a recipe."""

    def make(recipe: Recipe, goes_on: Callable[[Path], bool] = lambda folder: True) -> Pipeline:
        place = Workspace(root)
        pick = partial(runs.pick, place, fresh=True, goes_on=goes_on)
        made = plan.make(recipe, kit=KIT, lock_sha256="0" * 64, pick_run=pick)
        merged = settings.resolve(DEFAULTS, {"workspace": str(root), "gpus": "none"})
        engine = ScriptedEngine(script or training(root, made, losses, **machine))
        return Pipeline(merged, Screen(), made, place, lambda: engine)

    return make


def first(root: Path, recipe: Recipe | None = None, **machine: Any) -> record.Run:
    """A finished run."""
    recipe = recipe or recipes.load(KIT / "configs" / "recipes" / "tiny.yaml")
    pipeline = pipelines(root, **machine)(recipe)
    pipeline.bring_up_to_date(ALL)
    return record.load(pipeline.run_dir)


def reproduced(
    root: Path,
    name: str,
    losses: tuple[float, ...] = LOSSES,
    options: dict[str, Any] | None = None,
    screen: Screen | None = None,
    **machine: Any,
) -> dict[str, Any]:
    """The command's JSON; the error's id under ``error``."""
    screen = screen or Screen(json_output=True)
    opens = pipelines(root, losses, **machine)
    error: dict[str, Any] = {}
    try:
        assert reproducing.reproduce(Workspace(root), name, options or {}, opens, screen) == 0
    except KitError as caught:
        assert caught.exit_code == 1
        error = {"error": caught.id, "what": caught.what()}
    return {**(screen._document or {}), **error}


def test_the_same_bits_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = first(tmp_path)
    found = reproduced(tmp_path, original.id)
    assert (found["kind"], found["again"]) == ("bitwise", f"{original.id}-2")
    assert "reproduced bit by bit" in capsys.readouterr().err
    again = record.load(tmp_path / "runs" / found["again"])
    assert again.provenance.reproduces is not None
    assert again.provenance.reproduces.sha256 == record.fingerprint(original)
    assert [stage.label for stage in again.provenance.stages][:1] == ["train"]


def test_from_the_record_alone_in_another_workspace(tmp_path: Path) -> None:
    first(tmp_path / "here")
    file = tmp_path / "mine.json"
    shutil.copy(next((tmp_path / "here").glob("runs/*/run.json")), file)
    shutil.rmtree(tmp_path / "here")
    found = reproduced(tmp_path / "there", str(file))
    assert found["kind"] == "bitwise"
    again = record.load(tmp_path / "there" / "runs" / found["again"])
    assert {stage.label for stage in again.provenance.stages} == set(ALL)


def test_another_seed_is_not_equal_and_is_named(tmp_path: Path) -> None:
    original = first(tmp_path)
    found = reproduced(tmp_path, original.id, options={"set": ["seed=1"]})
    assert found["error"] == "record.not-reproduced"
    assert found["what"] == "not reproduced: seed differs."
    assert found["identity"][0] == {"name": "seed", "one": 0, "other": 1}


def test_other_bits_on_the_same_kind_of_cpu(tmp_path: Path) -> None:
    original = first(tmp_path)
    found = reproduced(tmp_path, original.id, (4.0, 3.0, 2.0, 1.0000001))
    assert found["error"] == "record.not-reproduced"
    assert "losses: other bits" in found["what"]


def test_on_another_machine_the_band_of_two_decides(tmp_path: Path) -> None:
    original = first(tmp_path)
    alone = reproduced(tmp_path, original.id, (4.0, 3.0, 2.0, 1.001), instructions="AVX2")
    assert "no band is known (reference runs: 1, needed: 2)" in alone["what"]
    again = reproduced(tmp_path, original.id, (4.0, 3.0, 2.0, 1.001), instructions="AVX2")
    assert again["references"] == 1, "a reproduction is no reference"
    other = pipelines(tmp_path, (4.0, 3.0, 2.0, 1.002), instructions="AVX2")
    tiny = recipes.load(KIT / "configs" / "recipes" / "tiny.yaml")
    other(tiny, lambda folder: False).bring_up_to_date(ALL)
    found = reproduced(tmp_path, original.id, (4.0, 3.0, 2.0, 1.001), instructions="AVX2")
    assert (found["kind"], found["references"]) == ("band", 2)
    far = reproduced(tmp_path, original.id, (4.0, 3.0, 2.0, 1.9), instructions="AVX2")
    assert "mean loss, 4th quarter is outside the band" in far["what"]


def test_a_verdict_in_chinese(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = first(tmp_path)
    reproduced(tmp_path, original.id, screen=Screen(lang="zh"))
    out, err = capsys.readouterr()
    assert "逐位复现" in err
    assert "同一实验:没有不同" in out
    assert "结果" in out
    with_seed = {"set": ["seed=1"]}
    reproduced(tmp_path, original.id, options=with_seed, screen=Screen(lang="zh"))
    out, _ = capsys.readouterr()
    assert "身份:" in out
    assert "同一实验" not in out


def test_a_flipped_bit_in_the_weights_is_refused_before_the_training(tmp_path: Path) -> None:
    original = first(tmp_path)
    path = next(tmp_path.glob("models/*/llm/*"))
    stat = path.stat()
    path.write_bytes(b"x" * stat.st_size)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    found = reproduced(tmp_path, original.id)
    assert found["error"] == "record.other-inputs"
    assert path.name in found["what"]
    assert not (tmp_path / "runs" / f"{original.id}-2" / "train").exists()


def test_other_data_are_refused(tmp_path: Path) -> None:
    original = first(tmp_path)
    file = tmp_path / "runs" / original.id / record.FILE_NAME
    content = json.loads(file.read_text())
    content["identity"]["data"] = {"lock.out": "0" * 64}
    file.write_text(json.dumps(content))
    assert reproduced(tmp_path, original.id)["error"] == "record.other-inputs"


def test_weights_drawn_with_other_bits_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first(tmp_path / "here")
    file = next((tmp_path / "here").glob("runs/*/run.json"))
    found = reproduced(tmp_path / "there", str(file), instructions="DEFAULT")
    assert "drawn with other bits on this CPU" in capsys.readouterr().err
    assert found["kind"] == "bitwise", "losses and weights decide, not where they began"
    assert found["identity"][0]["name"] == "drawn llm/model.safetensors"


def test_what_came_from_a_user_must_be_named_again(tmp_path: Path) -> None:
    recipe = given_recipe(tmp_path / "mine", "llm")
    original = first(tmp_path / "w", recipe)
    found = reproduced(tmp_path / "w", original.id)
    assert found["error"] == "record.needs-input"
    assert "llm" in found["what"]
    folder = str(tmp_path / "mine" / "llm")
    assert reproduced(tmp_path / "w", original.id, options={"llm": folder})["kind"] == "bitwise"


def test_a_user_s_folder_is_asked_for_even_if_the_kit_has_one_of_that_name(tmp_path: Path) -> None:
    shutil.copytree(KIT / "data" / "sample", tmp_path / "mine" / "data")
    folder = tmp_path / "mine" / "data"
    tiny = recipes.load(KIT / "configs" / "recipes" / "tiny.yaml")
    original = first(tmp_path / "w", given.apply(tiny, {"data": str(folder)}))
    assert original.identity.recipe["data"]["folder"] == "data"
    assert (KIT / "data").is_dir()
    assert reproduced(tmp_path / "w", original.id)["error"] == "record.needs-input"
    found = reproduced(tmp_path / "w", original.id, options={"data": str(folder)})
    assert found["kind"] == "bitwise"


def test_a_run_that_was_never_trained_is_refused(tmp_path: Path) -> None:
    tiny = recipes.load(KIT / "configs" / "recipes" / "tiny.yaml")
    made = pipelines(tmp_path)(tiny)
    made.bring_up_to_date(["models"])
    assert reproduced(tmp_path, made.plan.run_id)["error"] == "record.unfinished"


def test_only_what_the_record_holds_is_made_again(tmp_path: Path) -> None:
    tiny = recipes.load(KIT / "configs" / "recipes" / "tiny.yaml")
    made = pipelines(tmp_path)(tiny)
    made.bring_up_to_date(["train"])
    found = reproduced(tmp_path, made.plan.run_id)
    assert found["kind"] == "bitwise"
    assert not list(tmp_path.glob("runs/*/tuned"))


def test_another_lock_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = first(tmp_path)
    monkeypatch.setattr(environment, "lock_sha256", lambda: "1" * 64)
    found = reproduced(tmp_path, original.id)
    assert found["error"] == "record.other-lock"
    with pytest.raises(RecordError) as caught:
        reproducing.recipe_of(original, {})
    assert "git checkout" in caught.value.remedy()


def test_an_interrupted_reproduction_goes_on_and_never_with_another_s_checkpoint(
    tmp_path: Path,
) -> None:
    original = first(tmp_path)
    tiny = recipes.load(KIT / "configs" / "recipes" / "tiny.yaml")
    failing = pipelines(tmp_path, script=lambda _: Play(outcome=Outcome(exit_code=9)))
    with pytest.raises(KitError):
        failing(tiny).bring_up_to_date(ALL)  # somebody's own run, NAME-2, not finished
    with pytest.raises(KitError):
        reproducing.reproduce(Workspace(tmp_path), original.id, {}, failing, Screen())
    assert reproduced(tmp_path, original.id)["again"] == f"{original.id}-3"
    assert reproduced(tmp_path, original.id)["again"] == f"{original.id}-4"


def test_records_that_come_with_the_kit_are_references(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = first(tmp_path / "w")
    shipped = tmp_path / "references"
    shipped.mkdir()
    content = json.loads((tmp_path / "w" / "runs" / original.id / record.FILE_NAME).read_text())
    content["results"]["losses"][0] += 0.01  # of another workspace, by the same id
    (shipped / "a.json").write_text(json.dumps(content))
    content["identity"]["seed"] = 7
    (shipped / "b.json").write_text(json.dumps(content))
    monkeypatch.setattr(references, "FOLDER", shipped)
    [other] = references.of(original, Workspace(tmp_path / "w"))
    assert other.results.losses[0] == pytest.approx(4.01)
    file = next((tmp_path / "w").glob("runs/*/run.json"))
    losses = (4.001, 3.0, 2.0, 1.0)
    found = reproduced(tmp_path / "there", str(file), losses, instructions="AVX2")
    assert (found["kind"], found["references"]) == ("band", 2)
