"""A step behind a look whether its outputs are there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from llavakit.locks import StepLock

STEP = "import pathlib, sys; pathlib.Path('made').write_text('x'); sys.exit(int(sys.argv[1]))"


def once(folder: Path, key: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "llavakit.steps.once", "--lock", "lock.json", "--key", key, "--",
         *words],
        cwd=folder, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )  # fmt: skip


def locked(folder: Path) -> Path:
    output = folder / "output"
    output.write_text("weights")
    StepLock(folder / "lock.json").write("train", "k1", [output])
    return output


def test_a_step_takes_the_place_of_the_look_and_its_status_is_kept(tmp_path: Path) -> None:
    assert once(tmp_path, "k1", "-c", STEP, "3").returncode == 3
    assert (tmp_path / "made").exists()


def test_nothing_runs_where_the_outputs_are_there(tmp_path: Path) -> None:
    locked(tmp_path)
    done = once(tmp_path, "k1", "-c", STEP, "3")
    assert (done.returncode, done.stdout) == (0, "lock.json: up to date\n")
    assert not (tmp_path / "made").exists()


def test_other_inputs_and_lost_outputs_are_made_again(tmp_path: Path) -> None:
    output = locked(tmp_path)
    assert once(tmp_path, "k2", "-c", STEP, "0").returncode == 0
    assert (tmp_path / "made").exists()
    (tmp_path / "made").unlink()
    output.unlink()
    once(tmp_path, "k1", "-c", STEP, "0")
    assert (tmp_path / "made").exists()
