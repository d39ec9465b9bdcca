"""The batch script for Slurm."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from host.submissions import (
    directives,
    no_tools,  # noqa: F401 - a fixture for all of them
    script_of,
)


def test_a_script_asks_for_what_the_recipe_needs(tmp_path: Path) -> None:
    asked = directives(script_of(tmp_path))
    assert (asked["mem"], asked["time"], asked["export"]) == ("4G", "00:30:00", "NONE")
    assert "gpus-per-node" not in asked and "requeue" in asked
    asked = directives(script_of(tmp_path, gpus="all"))
    assert asked["gpus-per-node"] == "1"


def test_the_gpu_of_a_local_job_is_the_one_that_slurm_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.setenv("TMPDIR", "/here/only")
    script = script_of(tmp_path, gpus="all")
    assert '${CUDA_VISIBLE_DEVICES+"CUDA_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES"}' in script
    assert "CUDA_VISIBLE_DEVICES=7" not in script and "/here/only" not in script
    without = script_of(tmp_path, gpus="none")
    assert "$CUDA_VISIBLE_DEVICES" not in without and "CUDA_VISIBLE_DEVICES= " in without


def test_a_failure_of_any_command_ends_the_job(tmp_path: Path) -> None:
    """``a && b`` alone does not end a script under ``set -e`` when ``a`` fails."""
    place = tmp_path / "in the way"
    script = script_of(tmp_path, workspace=str(place))
    place.mkdir()
    (place / "cache").write_text("a file where a folder should be")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "done" not in done.stdout
    assert "llavakit.steps" not in done.stderr


def test_odd_names_are_quoted(tmp_path: Path) -> None:
    script = script_of(tmp_path, workspace=str(tmp_path / "a b'c"), out=str(tmp_path / "100% out"))
    assert shlex.split(directives(script)["output"]) == [f"{tmp_path}/100%% out/slurm-%j.log"]


@pytest.mark.parametrize(
    ("engine", "runtime", "word"),
    [("auto", "", "env -i"), ("local", "", "env -i"), ("docker", "", "--container-image="),
     ("auto", "apptainer", "apptainer exec")],
)  # fmt: skip
def test_the_engine_says_what_runs_on_a_node(
    tmp_path: Path, engine: str, runtime: str, word: str
) -> None:
    assert word in script_of(tmp_path, engine=engine, runtime=runtime)


def test_a_file_is_an_image_too(tmp_path: Path) -> None:
    script = script_of(tmp_path, runtime="apptainer", image="/images/kit.sif")
    assert " /images/kit.sif python " in script
