"""The task for SkyPilot."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from host.recipes import given, remote
from host.submissions import (
    RECIPES,
    _settings,
    no_tools,  # noqa: F401 - a fixture for all of them
    task_of,
    tiny,
    tutorial,
)
from host.submitted import IMAGE, pipeline_of

from llavakit import recipe as recipes
from llavakit.host import batch, submit_skypilot
from llavakit.host.plan import todo
from llavakit.host.settings import KIT


def test_a_task_asks_for_cards_that_the_recipe_fits(tmp_path: Path) -> None:
    assert "accelerators" not in task_of(tmp_path, tiny())["resources"]
    cards = task_of(tmp_path, tutorial())["resources"]["accelerators"]
    assert cards == {"L40S": 1, "A100-80GB": 1, "H100": 1}
    small = recipes.load(RECIPES / "tutorial-24g.yaml")
    assert "L4" in task_of(tmp_path, small)["resources"]["accelerators"]


def test_a_task_runs_the_hardened_docker_lines_of_the_plan(tmp_path: Path) -> None:
    task = task_of(tmp_path, tutorial())
    lines = [shlex.split(line) for line in task["run"].splitlines() if line.startswith("docker")]
    assert len(lines) == 7
    for words in lines:
        assert {"--read-only", "--cap-drop", "no-new-privileges:true"} <= set(words)
        assert words[words.index("--user") + 1] == "10001:10001"
        assert IMAGE in words
        for word in words:
            assert str(tmp_path) not in word
    networks = [words[words.index("--network") + 1] for words in lines]
    assert networks == ["bridge"] * 4 + ["none"] * 3
    assert ["--gpus" in words for words in lines] == [False] * 6 + [True]


def test_a_task_brings_this_host_s_folders_and_files(tmp_path: Path) -> None:
    recipe = given(tmp_path, "projector")
    task = task_of(tmp_path, recipe)
    assert set(task["file_mounts"].values()) == {
        str(KIT / "data" / "sample"), str(tmp_path / "projector.pth"),
    }  # fmt: skip
    for place in task["file_mounts"]:
        assert f"source={place},target=" in task["run"]
    assert "touch /opt/llavakit/inputs/projector-" in task["setup"]


def test_what_this_host_has_at_the_machine_s_paths_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, folder in (("WORKSPACE", tmp_path / "there"), ("INPUTS", tmp_path / "inputs")):
        folder.mkdir()
        monkeypatch.setattr(submit_skypilot, name, folder)
    (tmp_path / "inputs" / "0").symlink_to(KIT)
    (tmp_path / "there" / "models").symlink_to(KIT)
    run = task_of(tmp_path, tiny())["run"]
    assert f"source={tmp_path}/inputs/0,target=" in run and f"source={KIT}," not in run


def test_a_mirror_on_this_host_is_no_mirror_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:8080")
    recipe = remote()
    assert "127.0.0.1" not in task_of(tmp_path, recipe)["run"]
    monkeypatch.setenv("HF_ENDPOINT", "https://hf-mirror.example")
    assert "https://hf-mirror.example" in task_of(tmp_path, recipe)["run"]


def test_the_plan_is_the_one_that_plan_shows(tmp_path: Path) -> None:
    made = pipeline_of(tiny(), _settings(tmp_path))
    shown = [item.stage.label for item in todo(made.plan, made.workspace, ["models", "data",
             "train"]) if item.action == "run"]  # fmt: skip
    works = batch.make(made, ["models", "data", "train"], shared=True, image=IMAGE).works
    assert [work.stage.label for work in works] == shown
    for work in works:
        job = made.job(work.stage)
        assert (work.job.env, work.job.mounts, work.job.gpus) == (job.env, job.mounts, job.gpus)
