"""Trainings of one sample, of five and of none: warm-up and checkpoints fit whatever there is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from real.command_line import Kit
from real.test_failures import own_data, refusal

pytestmark = pytest.mark.environment


@pytest.mark.parametrize(("samples", "batch", "iterations"), [(1, 1, 1), (5, 2, 3)])
def test_a_few_samples_are_trained(
    tmp_path: Path, samples: int, batch: int, iterations: int
) -> None:
    kit = Kit(tmp_path / "w")
    data = own_data(tmp_path / "mine", f"del items[{samples}:]")
    words = ("--set", data, "--set", "data.repeat=1", "--set", f"train.batch_size={batch}")
    found = kit.result("train", "--engine", "local", *words)["results"]
    assert found["iterations"] == iterations
    assert all(isinstance(loss, float) for loss in found["losses"])
    (lock,) = kit.root.glob("runs/*/train/lock.json")
    assert json.loads(lock.read_text())["facts"]["iterations"] == iterations


def test_no_sample_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    kit = Kit(tmp_path / "w")
    said = refusal(
        kit, "train", "--engine", "local", "--set", own_data(tmp_path / "mine", "items.clear()")
    )
    assert "no conversation" in said
    assert not list(kit.root.glob("runs/*/train"))
