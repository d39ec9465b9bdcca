"""Lines to figures, a GPU as NVML tells it, a card's memory held."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from llavakit import recipe as recipes
from llavakit.errors import WeightsError
from llavakit.steps.bench import figures, holder, nvml, render
from llavakit.steps.bench.figures import Iteration

RECIPES = Path(__file__).resolve().parents[3] / "configs" / "recipes"
LINE = ("11/24 21:02:03 - mmengine - INFO - Iter(train) [  12/1200]  lr: 4.0e-05  eta: 0:18:30  "
        "time: 0.9345  data_time: 0.0052  memory: 36210  loss: 8.9620")  # fmt: skip


def test_an_iteration_from_its_line():
    assert figures.iteration(3.5, LINE) == Iteration(12, 3.5, 8.962, 36210)


@pytest.mark.parametrize("line", [
    "", "Iter(train) [ 1/80]  lr: 1e-3", LINE.replace("8.9620", "tensor"),
    LINE.replace("train", "val"),
])  # fmt: skip
def test_other_lines_are_none(line):
    assert figures.iteration(0, line) is None


def its(*seconds, loss=1.0):
    return [Iteration(n, each, loss, None) for n, each in enumerate(seconds, 1)]


def test_the_first_five_do_not_count():
    found = figures.per_iteration(its(100, 110, 120, 130, 140, 141, 142, 143, 144, 145))
    assert found == {"median": 1, "p10": 1, "p90": 1, "counted": 5}


def test_of_few_all_count_and_of_one_none():
    assert figures.per_iteration(its(5, 7, 10))["median"] == 2.5
    assert figures.per_iteration(its(5)) is None
    assert figures.per_iteration([]) is None


def test_a_loss_that_is_not_finite_is_trouble():
    assert figures.trouble(its(1, 2)) == ""
    assert "iteration 3" in figures.trouble([*its(1, 2), Iteration(3, 3, float("nan"), None)])


WIRE = WeightsError("code", file="models/m/llm/x.py")


@pytest.mark.parametrize(("tail", "status", "said"), [
    (["Traceback", "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried", ""], 1,
     "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried"),
    (["RuntimeError: first", "KeyError: 'x'"], 1, "KeyError: 'x'"),
    (["RuntimeError: one", WIRE.to_wire()], 1, WIRE.what()),
    (["loading"], -9, "out of memory"),
    (["loading"], -11, "ended by signal 11"),
    (["loading"], 1, "ended with status 1: loading"),
    (["loading"], 0, "ended with status 0: loading; the host"),
    ([], None, "ended with status None"),
])  # fmt: skip
def test_why_a_child_ended(tail, status, said):
    assert said in figures.why(tail, status)


class Nvml(SimpleNamespace):
    """The part of pynvml that is used, with two GPUs."""

    NVMLError = RuntimeError

    def __init__(self, **more):
        super().__init__(**more)
        self.used = {0: 5 << 20, 1: 1000 << 20}

    def nvmlInit(self):  # noqa: N802
        pass

    def nvmlDeviceGetCount(self):  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        if index > 1:
            raise RuntimeError("Invalid Argument")
        return index

    def nvmlDeviceGetUUID(self, handle):  # noqa: N802
        return f"GPU-{handle}abc".encode()

    def nvmlDeviceGetName(self, handle):  # noqa: N802
        return "H100"

    def nvmlSystemGetDriverVersion(self):  # noqa: N802
        return "580.1"

    def nvmlDeviceGetMemoryInfo(self, handle, version=None):  # noqa: N802
        if version is not None and not hasattr(self, "nvmlMemory_v2"):
            raise RuntimeError("Function Not Found")
        reserved = 0 if version else 600 << 20
        return SimpleNamespace(used=self.used[handle] + reserved, total=80 << 30)


@pytest.mark.parametrize(("visible", "used"), [
    (None, 5), ("0", 5), ("1", 1000), ("1,0", 1000), ("GPU-1a", 1000),
])  # fmt: skip
def test_the_first_gpu_of_the_process_is_looked_at(monkeypatch, visible, used):
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(nvmlMemory_v2=2))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpu, lacking = nvml.first()
    assert not lacking
    assert gpu.used_mib() == used
    assert gpu.facts()["driver"] == "580.1"
    assert gpu.facts()["total_mib"] == 80 << 10


def test_an_older_driver_is_asked_in_the_older_form(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert nvml.first()[0].used_mib() == 605


@pytest.mark.parametrize("visible", ["", "-1", "7", "MIG-5", "GPU-9"])
def test_no_such_gpu_is_none_with_a_reason(monkeypatch, visible):
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(nvmlMemory_v2=2))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpu, lacking = nvml.first()
    assert gpu is None
    assert lacking


def card(monkeypatch, free, most=None):
    """torch with a GPU that has ``free`` MiB."""
    import torch

    left = [free << 20]

    def empty(size, dtype, device):
        if most is not None and left[0] - size < most << 20:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        left[0] -= size
        return size

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (left[0], 80 << 30))
    monkeypatch.setattr(torch, "empty", empty)


def test_all_but_what_is_to_be_left_is_held(monkeypatch):
    card(monkeypatch, 80_000)
    held, facts = holder.take(22_000 << 20)
    assert facts == {"free_mib": 22_000, "held_mib": 58_000}
    assert sum(held) == 58_000 << 20


def test_a_smaller_card_is_left_as_it_is(monkeypatch):
    card(monkeypatch, 16_000)
    assert holder.take(22_000 << 20) == ([], {"free_mib": 16_000, "held_mib": 0})


def test_what_cannot_be_had_is_not_asked_for_again(monkeypatch):
    card(monkeypatch, 10_000, most=5_000)
    _, facts = holder.take(2_000 << 20)
    assert facts == {"free_mib": 5_904, "held_mib": 4_096}


def test_plain_xtuner_trains_a_memory_profile_as_the_tutorial_does():
    profile = recipes.load(RECIPES / "tutorial-24g.yaml")
    tutorial = recipes.load(RECIPES / "tutorial.yaml")
    plain = render.plain(profile)
    assert plain.train == tutorial.train
    assert render.plain(tutorial) == tutorial
    shown = render.measurable(plain)
    assert (shown.train.log_every, shown.train.checkpoints.every) == (1, render.NEVER)
    assert recipes.parse(yaml.safe_load(yaml.safe_dump(shown.resolved())), origin="test") == shown


def test_what_is_given_back_late_is_waited_for(monkeypatch):
    fake = Nvml(nvmlMemory_v2=2)
    monkeypatch.setattr(nvml, "SETTLE_SECONDS", 0.01)
    readings = iter([3000, 2000, 5, 5, 99])
    gpu = nvml.Gpu(fake, 0)
    monkeypatch.setattr(gpu, "used_mib", lambda: next(readings))
    assert gpu.settled_mib() == 5
    assert next(readings) == 99
