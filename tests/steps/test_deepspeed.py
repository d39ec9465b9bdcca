"""DeepSpeed ZeRO-2, which GPU hosts run, on a CPU: the whole job, killed, torn and tidied up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from steps.short import ITERATIONS, PAIR, WEIGHTS

from llavakit import recipe
from llavakit.steps import checkpoints, room, weights
from llavakit.steps.plan import Plan
from llavakit.steps.xtuner_patches import NOT_AHEAD

ZERO2 = "train.deepspeed=zero2"
TRAINING = (
    ZERO2, "data.repeat=20", "train.checkpoints.every=5", "train.sampler=length-grouped",
    "train.warmup_ratio=0.03", "train.evaluation.every=10", 'train.evaluation.questions=["What?"]',
    "train.evaluation.image=images/fish.png",
)  # fmt: skip
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
DIES = """
import os, pathlib, signal
real = pathlib.Path.replace
def replace(self, target):
    if str(target).endswith("_weights.pth"):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, target)
pathlib.Path.replace = replace
"""
"""A process that dies when the weights are written and do not have their name yet."""


def folder_of(bench):
    return bench.root / bench.run / "train"


def notes(bench):
    return [event["text"] for event in bench.events() if event["kind"] == "note"]


def copy(bench, target):
    shutil.copytree(bench.root, target, symlinks=True)
    return type(bench)(target)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, chain, new_bench):
    """The tiny recipe as it stands, by DeepSpeed."""
    bench = new_bench(tmp_path_factory.mktemp("whole") / "w").prepare(ZERO2)
    bench.take(chain, "models", "data", "cache").must("train", *PAIR)
    bench.must("convert", *PAIR, "--trained", "runs/r/train", "--out", "runs/r/tuned")
    bench.must("ask", *PAIR, "--tuned", "runs/r/tuned", "--out", "runs/r/answers.json")
    bench.must("compare", "--before", "cache/before.json", "--after", "runs/r/answers.json",
               "--out", "runs/r/comparison.json")  # fmt: skip
    return bench


@pytest.fixture(scope="module")
def fresh(tmp_path_factory, tiny, new_bench):
    """A workspace that is ready for a training of 20 iterations."""
    bench = new_bench(tmp_path_factory.mktemp("fresh") / "w").prepare(*TRAINING)
    return bench.take(tiny, "models").make_data()


@pytest.fixture(scope="module")
def short(tmp_path_factory, fresh):
    """Those 20 iterations, uninterrupted."""
    bench = copy(fresh, tmp_path_factory.mktemp("short") / "w")
    bench.must("train", *PAIR)
    return bench


@pytest.fixture(scope="module")
def killed(tmp_path_factory, fresh):
    """The same, killed after 12 iterations."""
    bench = copy(fresh, tmp_path_factory.mktemp("killed") / "w")
    lines = folder_of(bench) / "history.jsonl"
    with bench.start("train", *PAIR, **QUIET) as process:
        while process.poll() is None:
            if lines.exists() and len(lines.read_text().splitlines()) >= 12:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
    assert process.returncode == -signal.SIGKILL
    for name in ("iter_5.pth", "iter_10.pth"):
        assert checkpoints.is_whole(folder_of(bench) / name)
    return bench


def same_result(one, other):
    name = f"{one.run}/train/history.json"
    assert one.json(name) == other.json(name)
    assert (folder_of(one) / WEIGHTS).read_bytes() == (folder_of(other) / WEIGHTS).read_bytes()


def test_the_tiny_recipe_reaches_its_scores(whole, chain):
    means = whole.json("runs/r/comparison.json")["means"]
    expected = recipe.load(recipe_file("tiny")).expected
    assert means["before"]["rouge_l"] <= expected.rouge_l_before_max
    assert means["after"]["rouge_l"] >= expected.rouge_l_after_min
    assert means["swapped"]["rouge_l"] <= expected.rouge_l_swapped_max
    history, plain = (bench.json("runs/r/train/history.json") for bench in (whole, chain))
    assert len(history) == expected.iterations
    assert [row["lr"] for row in history] == pytest.approx([row["lr"] for row in plain])
    # Not equal: mmengine's other runner draws the adapters from another state of the generator.
    assert [row["loss"] for row in history[:10]] == pytest.approx(
        [row["loss"] for row in plain[:10]], rel=0.05)  # fmt: skip


def recipe_file(name):
    return Path(__file__).parents[2] / "configs" / "recipes" / f"{name}.yaml"


def test_what_stays_is_what_convert_needs(whole):
    left = {path.name for path in folder_of(whole).iterdir() if not path.is_dir()}
    assert left == {"begun.json", "config.py", "deepspeed.json", "history.json", "history.jsonl",
                    "iter_80_weights.pth", "lock.json"}  # fmt: skip
    state = weights.tensors(folder_of(whole) / "iter_80_weights.pth")
    count = sum(value.numel() for value in state.values())
    assert count == room.trainable(recipe.load(recipe_file("tiny")), whole.root / "models/m")
    size = (folder_of(whole) / "iter_80_weights.pth").stat().st_size
    assert count * room.FP32 <= size < count * room.FP32 * 1.05
    assert {value.dtype for value in state.values()} == {torch.float32}


def test_the_config_for_a_cpu_names_no_half_format(whole):
    value = whole.json("runs/r/train/deepspeed.json")
    assert value["fp16"]["enabled"] is value["bf16"]["enabled"] is False
    assert value["zero_optimization"]["stage"] == 2


def test_short_epochs_warm_up_and_xtuner_looks_at_its_answers(short):
    rates = [row["lr"] for row in short.json("runs/r/train/history.json")]
    assert rates[0] < 1e-6
    assert max(rates) == pytest.approx(3e-3, rel=0.02)
    assert rates[-1] < rates[5]
    said = list(folder_of(short).glob("*/vis_data/eval_outputs_iter_*.txt"))
    assert said
    assert NOT_AHEAD not in (short.root / "runs/r/logs/train.log").read_text()


def test_a_checkpoint_takes_the_room_that_was_told(killed):
    need = room.needed(parameters(killed), Plan(ITERATIONS, deepspeed_of(killed), {}), 5, 2)
    size = sum(path.stat().st_size for path in checkpoints.files(folder_of(killed) / "iter_5.pth"))
    assert need.checkpoint <= size < need.checkpoint + room.SPARE_BYTES / 2


def deepspeed_of(bench):
    return json.loads((folder_of(bench) / "deepspeed.json").read_text())


def parameters(bench):
    return room.trainable(recipe.load(recipe_file("tiny")), bench.root / "models/m")


def test_consolidated_weights_are_those_that_xtuner_reads_from_the_folder(killed, tmp_path):
    from xtuner.model.utils import guess_load_checkpoint

    source, target = folder_of(killed) / "iter_10.pth", tmp_path / "w.pth"
    checkpoints.consolidate(source, target)
    theirs, ours = guess_load_checkpoint(str(source)), weights.tensors(target)
    assert list(theirs) == list(ours)
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"]


def test_a_killed_run_goes_on_from_the_newest(killed, short, tmp_path):
    other = copy(killed, tmp_path / "w")
    other.must("train", *PAIR)
    assert "goes on from iteration 10" in notes(other)
    same_result(other, short)


def test_a_torn_newest_falls_back_to_the_one_before(killed, short, tmp_path):
    other = copy(killed, tmp_path / "w")
    (optimizer,) = folder_of(other).glob("iter_10.pth/*_optim_states.pt")
    os.truncate(optimizer, optimizer.stat().st_size - 100)
    other.must("train", *PAIR)
    assert "goes on from iteration 5" in notes(other)
    same_result(other, short)


@pytest.mark.parametrize("part", ["model", "optim"])
def test_a_checkpoint_without_one_of_its_files_is_torn(part, killed, tmp_path):
    shutil.copytree(folder_of(killed), tmp_path / "train")
    (lost,) = (tmp_path / "train").glob(f"iter_10.pth/*_{part}_states.pt")
    lost.unlink()
    assert checkpoints.newest(tmp_path / "train").iteration == 5


def test_without_a_whole_checkpoint_it_starts_over_and_says_so(killed, short, tmp_path):
    """As with ``keep: 1``, where there is no older one."""
    other = copy(killed, tmp_path / "w")
    shutil.rmtree(folder_of(other) / "iter_5.pth")
    (optimizer,) = folder_of(other).glob("iter_10.pth/*_optim_states.pt")
    optimizer.unlink()
    other.must("train", *PAIR)
    assert "no whole checkpoint is left: starts over" in notes(other)
    same_result(other, short)


def test_killed_while_it_tidies_up_the_next_call_ends_it(killed, short, tmp_path):
    other = copy(killed, tmp_path / "w")
    (tmp_path / "sitecustomize.py").write_text(DIES)
    environment = {**other.env(), "PYTHONPATH": f"{tmp_path}:{other.env()['PYTHONPATH']}"}
    argv = other.argv("train", *PAIR)
    died = subprocess.run(argv, cwd=other.root, env=environment, check=False, **QUIET)
    assert died.returncode == -signal.SIGKILL
    folder = folder_of(other)
    assert (folder / f".{WEIGHTS}").exists()
    assert not (folder / WEIGHTS).exists()
    last = tmp_path / "last"
    shutil.copytree(folder / "iter_20.pth", last)
    other.must("train", *PAIR)
    same_result(other, short)
    assert not (folder / f".{WEIGHTS}").exists()

    shutil.copytree(last, folder / "iter_20.pth")  # killed after the rename, in the removing
    next((folder / "iter_20.pth").glob("*_optim_states.pt")).unlink()
    other.must("train", *PAIR)
    same_result(other, short)
    assert not (folder / "iter_20.pth").exists()
