"""Whoever copies beside the computing is waited for, in an order that no GPU is needed to see."""

from __future__ import annotations

import pytest
import torch
from steps.optimizer.small import Settings
from torch.utils._python_dispatch import TorchDispatchMode

from llavakit.steps.optimizer import ring

SETTINGS = Settings(steps=6)
WAY = {"states": "host", "bucket_elements": 2000}


class Later(TorchDispatchMode):
    """Copies are put off."""

    def __init__(self, todo):
        super().__init__()
        self._todo = todo

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is not torch.ops.aten.copy_.default:
            return function(*args, **(kwargs or {}))
        self._todo.append(lambda: function(*args))
        return args[0]


class LazyLane:
    """Works in order, and not before somebody waits for it."""

    def __init__(self):
        self._todo = []
        self._begun = 0

    def wait(self, mark):
        self._todo.append(mark)

    def mark(self):
        count = len(self._todo)
        return lambda: self._work_until(count)

    def run(self):
        return Later(self._todo)

    def _work_until(self, count):
        while self._begun < count:
            self._begun += 1
            self._todo[self._begun - 1]()


class PromptLane(ring.CpuLane):
    """Torch's own: works at once, and waits for the others."""

    def wait(self, mark):
        mark()

    def mark(self):
        return lambda: None


@pytest.fixture
def lazy(monkeypatch):
    monkeypatch.setattr(ring, "_lane", lambda device: LazyLane())
    monkeypatch.setattr(ring, "_torchs_lane", lambda device: PromptLane())


@pytest.mark.parametrize("moments", ["float32", "int8"])
def test_copies_as_late_as_they_may_be_change_nothing(moments, train, same, lazy, monkeypatch):
    late = train(SETTINGS, moments=moments, **WAY).run()
    monkeypatch.undo()
    same(late, train(SETTINGS, moments=moments, **WAY).run())


@pytest.mark.parametrize("careless", [LazyLane, PromptLane])
def test_that_shows_who_does_not_wait(careless, train, same, lazy, monkeypatch):
    monkeypatch.setattr(careless, "wait", lambda self, mark: None)
    late = train(SETTINGS, **WAY).run()
    monkeypatch.undo()
    with pytest.raises(AssertionError):
        same(late, train(SETTINGS, **WAY).run())


def test_there_are_more_buckets_than_slots(train):
    assert len(train(SETTINGS, **WAY).optimizer._streamed) > 2 * ring.SLOTS
