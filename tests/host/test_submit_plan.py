"""What is handed in is the plan, whatever the scheduler."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from host.submissions import (
    _settings,
    directives,
    no_tools,  # noqa: F401 - a fixture for all of them
    script_of,
    task_of,
    tiny,
    tutorial,
)
from host.submitted import IMAGE, call, documents, pipeline_of
from host.test_plan import pretend_made

from llavakit.host import batch


@pytest.mark.parametrize("to", ["slurm", "kubernetes", "skypilot"])
def test_every_stage_of_the_plan_is_there_in_its_order(tmp_path: Path, to: str) -> None:
    recipe = tiny()
    _, folder = call(recipe, tmp_path, to=to, task="compare")
    text = "".join(file.read_text() for file in sorted(folder.iterdir()))
    made = batch.make(
        pipeline_of(recipe, _settings(tmp_path)), ["compare"], shared=True, image=IMAGE
    )
    labels = [work.stage.label for work in made.works]
    assert labels == ["models", "data", "convert-pretrained", "ask-before", "train", "convert",
                      "ask-after", "compare"]  # fmt: skip
    keys = [text.index(work.stage.key) for work in made.works]
    if to != "kubernetes":  # there the last one stands in another list
        assert keys == sorted(keys)
    for work in made.works:
        assert work.job.argv[-len(work.stage.argv) :] == work.stage.argv
        for word in work.stage.argv:
            assert word in text


def test_on_a_shared_file_system_only_what_is_stale_is_handed_in(tmp_path: Path) -> None:
    made = pipeline_of(tiny(), _settings(tmp_path))
    pretend_made(made.plan, made.workspace, "models", "data")
    _, folder = call(tiny(), tmp_path, to="slurm")
    script = (folder / "job.sbatch").read_text()
    assert "llavakit.steps.train" in script and "llavakit.steps.models" not in script
    _, folder = call(tiny(), tmp_path, to="kubernetes")
    assert "llavakit.steps.models" in (folder / "run.yaml").read_text()


def test_nothing_is_handed_in_where_all_is_up_to_date(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = pipeline_of(tiny(), _settings(tmp_path))
    pretend_made(made.plan, made.workspace)
    status, folder = call(tiny(), tmp_path, to="slurm")
    assert status == 0 and not folder.exists()
    assert "nothing to hand in" in capsys.readouterr().err


def test_json_names_the_files_and_the_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = call(tiny(), tmp_path, to="slurm", json=True)
    body = json.loads(capsys.readouterr().out)
    assert body["files"] == {"job.sbatch": str(folder / "job.sbatch")}
    assert body["commands"][0] == f"sbatch {folder / 'job.sbatch'}"
    assert (body["to"], body["checked_by"]) == ("slurm", None)
    assert body["stages"] == ["models", "data", "train"]


def test_memory_and_time_come_from_the_recipe_not_from_this_host(tmp_path: Path) -> None:
    needs = batch.needs_of(pipeline_of(tutorial(), _settings(tmp_path, gpus="all")))
    assert (needs.memory_gib, needs.minutes, needs.gpus, needs.gpu_mib) == (32, 180, 1, 44447)
    assert needs.disk_gib > 3 * 18.2 + 16.7
    assert batch.needs_of(pipeline_of(tiny(), _settings(tmp_path))).gpus == 0


def test_several_ranks_take_a_node_with_as_many_gpus(tmp_path: Path) -> None:
    recipe = tutorial("train.ranks=4")
    needs = batch.needs_of(pipeline_of(recipe, _settings(tmp_path, gpus="all")))
    assert (needs.gpus, needs.cpus, needs.memory_gib) == (4, 16, 4 * 24 * 5 // 4 + 2)
    _, folder = call(recipe, tmp_path, to="kubernetes")
    job = documents(folder / "run.yaml")["Job"]
    [train] = job["spec"]["template"]["spec"]["containers"]
    assert train["resources"]["limits"]["nvidia.com/gpu"] == 4
    assert "LLAVAKIT_HOST" not in {each["name"] for each in train["env"]}
    cards = task_of(tmp_path, recipe)["resources"]["accelerators"]
    assert set(cards.values()) == {4}
    script = script_of(tmp_path, tiny("train.ranks=2", "train.deepspeed=zero2"), gpus="all")
    asked = directives(script)
    assert (asked["gpus-per-node"], asked["ntasks-per-node"], asked["nodes"]) == ("2", "1", "1")
