"""Bit for bit what DeepSpeed's ZeRO-2 computes, from ``deepspeed.initialize`` itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from steps.optimizer.small import Settings

TESTS = Path(__file__).parents[2]


def zero2(settings: Settings, folder: Path):
    """In a process of its own, which DeepSpeed and the changes to it keep."""
    (folder / "settings.json").write_text(json.dumps(asdict(settings)))
    path = f"{TESTS.parent / 'src'}:{TESTS}"
    argv = [sys.executable, Path(__file__).with_name("zero2.py")]
    done = subprocess.run(
        [*argv, folder / "settings.json", folder / "out.pt"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(folder / "out.pt", map_location="cpu")


CASES = {
    "bf16": Settings(),
    "weight-decay": Settings(weight_decay=0.1, betas=(0.8, 0.95)),
    "accumulation": Settings(accumulation=3, weight_decay=0.01),
    "no-clipping": Settings(max_norm=0.0),
    "not-finite": Settings(steps=6, broken_at=3),
    "fp32": Settings(dtype="float32", weight_decay=0.1),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_zero2_to_the_bit(case, device, train, tmp_path):
    settings = Settings(**{**asdict(CASES[case]), "device": device})
    theirs = zero2(settings, tmp_path)
    ours = train(settings, states="host", bucket_elements=5000).run()
    equal(torch.stack(ours.norms), theirs["norms"])
    equal(torch.stack(ours.losses), theirs["losses"])
    for one, other in (
        (ours.model.parameters(), theirs["params"]),
        (ours.model.buffers(), theirs["buffers"]),
    ):
        for a, b in zip(one, other, strict=True):
            equal(a.detach(), b)
    for name in ("master", "exp_avg", "exp_avg_sq"):
        mine = ours.flat(name)
        equal(mine, theirs[name][: len(mine)])


def equal(one: torch.Tensor, other: torch.Tensor) -> None:
    """The same bits; nan is nan."""
    torch.testing.assert_close(one.cpu(), other.cpu(), rtol=0, atol=0, equal_nan=True)


def test_the_settings_clip_in_some_steps_only(train):
    norms = torch.stack(train(Settings()).run().norms)
    assert (norms > 1).any()
    assert (norms < 1).any()


def test_a_gradient_that_is_not_finite_shows(train):
    ours = train(CASES["not-finite"]).run()
    assert [bool(loss.isfinite()) for loss in ours.losses] == [True] * 3 + [False] * 3
    assert not ours.norms[3].isfinite()
