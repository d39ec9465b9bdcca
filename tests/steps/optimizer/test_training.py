"""The train step with a memory profile: XTuner's own trainer around the kit's optimizer."""

from __future__ import annotations

import signal
import subprocess
import time
from functools import cache

import pytest
import torch
from steps.short import PAIR, SHORT, WEIGHTS

from llavakit import recipe
from llavakit.steps import checkpoints, room, weights

MEMORY = {
    "gpu": {"maths": "identical", "states": "gpu"},
    "host": {"maths": "identical", "states": "host", "resident_gib": 0.0001},
    "int8": {"maths": "changed", "changed": "8 bits", "states": "host", "moments": "int8"},
}
NEAR = 0.1 if torch.cuda.is_available() else 1e-3
"""The kit's optimizer takes the model to bf16 on a GPU; mmengine's does not."""
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def overrides(profile: str, *more: str) -> tuple[str, ...]:
    memory = [f"train.memory.{name}={value}" for name, value in MEMORY[profile].items()]
    return (*SHORT, *memory, *more)


@pytest.fixture(scope="module")
def prepare(tmp_path_factory, short, new_bench):
    """A workspace of its own for a training."""

    def make(*given: str):
        bench = new_bench(tmp_path_factory.mktemp("training") / "w").prepare(*given)
        return bench.take(short, "models", "data")

    return make


@pytest.fixture(scope="module")
def whole(prepare):
    """Trainings that nothing interrupted, each done once: by the name of a profile."""

    @cache
    def trained_with(profile: str):
        bench = prepare(*overrides(profile))
        bench.must("train", *PAIR)
        return bench

    return trained_with


@pytest.fixture(scope="module")
def host(whole):
    """A training with states on the host, uninterrupted."""
    return whole("host")


def folder_of(bench):
    return bench.root / bench.run / "train"


def history(bench):
    return bench.json("runs/r/train/history.json")


def trained(bench):
    return (folder_of(bench) / WEIGHTS).read_bytes()


def test_the_place_of_the_states_changes_nothing(host, prepare):
    other = prepare(*overrides("gpu"))
    other.must("train", *PAIR)
    assert history(other) == history(host)
    assert trained(other) == trained(host)


def test_it_learns_as_mmengines_adamw_does(host, short):
    ours, theirs = history(host), history(short)
    assert [row["lr"] for row in ours] == [row["lr"] for row in theirs]
    losses = [[row["loss"] for row in rows] for rows in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], rel=NEAR)
    assert losses[0][-1] < losses[0][0] / 2


def test_8_bits_learn_too(host, whole):
    last = [history(bench)[-1]["loss"] for bench in (host, whole("int8"))]
    assert last[1] == pytest.approx(last[0], rel=0.1)


def test_over_two_iterations_gradients_add_up(prepare):
    one = prepare(*overrides("host", "train.accumulation=2"))
    other = prepare(*SHORT, "train.accumulation=2")
    for bench in (one, other):
        bench.must("train", *PAIR)
    losses = [[row["loss"] for row in history(bench)] for bench in (one, other)]
    assert losses[0] == pytest.approx(losses[1], rel=NEAR)


def killed(bench):
    """Kill a training after 12 iterations."""
    lines = folder_of(bench) / "history.jsonl"
    with bench.start("train", *PAIR, **QUIET) as process:
        while process.poll() is None:
            if lines.exists() and len(lines.read_text().splitlines()) >= 12:
                process.send_signal(signal.SIGKILL)
            time.sleep(0.01)
    assert process.returncode == -signal.SIGKILL
    assert checkpoints.is_whole(folder_of(bench) / "iter_10.pth")
    return bench


@pytest.mark.parametrize("profile", ["host", "int8"])
def test_a_killed_run_goes_on_and_ends_with_the_same_weights(profile, whole, prepare):
    other = killed(prepare(*overrides(profile)))
    check_the_checkpoint(folder_of(other) / "iter_10.pth", other)
    other.must("train", *PAIR)
    notes = [event["text"] for event in other.events() if event["kind"] == "note"]
    assert any(note.startswith("goes on from iteration") for note in notes)
    assert history(other) == history(whole(profile))
    assert trained(other) == trained(whole(profile))


def check_the_checkpoint(path, bench):
    """fp32, one tensor a parameter, and no larger than what is in it."""
    state = weights.tensors(path)
    assert {value.dtype for value in state.values()} == {torch.float32}
    count = sum(value.numel() for value in state.values())
    resolved = recipe.load(bench.root / "runs/r/recipe.json")
    assert count == room.trainable(resolved, bench.root / "models/m")
    assert all(value.untyped_storage().nbytes() == value.nbytes for value in state.values())
    moments = count * (2 if "int8" in str(resolved.train.memory) else 8)
    assert path.stat().st_size < (count * 4 + moments) * 1.02 + (1 << 20)
