"""States on the host pass through a few slots on the device, both ways beside the computing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from llavakit.steps.optimizer.buckets import Bucket
from llavakit.steps.optimizer.places import Fields, States

SLOTS = 3
"""One arrives, one is computed with, one leaves."""


class Lane(Protocol):
    """An order in which the device works; others run beside it."""

    def wait(self, mark: Any) -> None:
        """Let what comes next in this lane wait for ``mark``."""

    def mark(self) -> Any:
        """What this lane was given so far."""

    def run(self) -> contextlib.AbstractContextManager[Any]:
        """Within, torch's work goes to this lane."""


class CudaLane:
    """A CUDA stream: one of its own, or the one that torch is on."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def wait(self, mark: Any) -> None:
        """See Lane."""
        self._stream.wait_event(mark)

    def mark(self) -> Any:
        """See Lane."""
        return self._stream.record_event()

    def run(self) -> contextlib.AbstractContextManager[Any]:
        """See Lane."""
        return torch.cuda.stream(self._stream)  # type: ignore[no-any-return]


class CpuLane:
    """A CPU does one thing after the other."""

    def wait(self, mark: Any) -> None:
        """See Lane."""

    def mark(self) -> Any:
        """See Lane."""

    def run(self) -> contextlib.AbstractContextManager[Any]:
        """See Lane."""
        return contextlib.nullcontext()


class Ring:
    """Brings the states of ``buckets``, in order, to ``device`` and back.

    Its slots are there from :meth:`start` to :meth:`finish` only. They belong to torch's stream of
    that moment, with which both other streams are in step then, so that their memory goes back to
    torch's allocator without more ado.
    """

    def __init__(
        self,
        buckets: Sequence[Bucket],
        device: torch.device,
        fields: Callable[[int], Fields],
    ) -> None:
        self._buckets = buckets
        self._device = device
        self._fields = fields
        self._incoming, self._outgoing = _lane(device), _lane(device)
        self._slots: list[States] = []
        self._arrived: list[Any] = []

    def start(self) -> None:
        """Allocate the slots and send for the first buckets."""
        if not self._buckets:
            return
        largest = self._fields(max(bucket.count for bucket in self._buckets))
        self._slots = [self._slot(largest) for _ in self._buckets[:SLOTS]]
        self._arrived = [None] * len(self._buckets)
        begun = _torchs_lane(self._device).mark()
        for lane in (self._incoming, self._outgoing):
            lane.wait(begun)
        for index in range(len(self._slots)):
            self._fetch(index)

    def take(self, index: int) -> States:
        """The states of the bucket ``index`` on the device, for torch's stream."""
        _torchs_lane(self._device).wait(self._arrived[index])
        return self._in_slot(index)

    def give(self, index: int) -> None:
        """Send back what :meth:`take` gave, and for the next bucket that has its slot."""
        self._outgoing.wait(_torchs_lane(self._device).mark())
        states = self._in_slot(index)
        with self._outgoing.run():
            for name, home in self._buckets[index].home.items():
                home.copy_(states[name], non_blocking=True)
        following = index + len(self._slots)
        if following < len(self._buckets):
            self._incoming.wait(self._outgoing.mark())
            self._fetch(following)

    def finish(self) -> None:
        """Free the slots. Torch's stream waits until everything is back on the host."""
        _torchs_lane(self._device).wait(self._outgoing.mark())
        self._slots = []

    def _fetch(self, index: int) -> None:
        states = self._in_slot(index)
        with self._incoming.run():
            for name, home in self._buckets[index].home.items():
                states[name].copy_(home, non_blocking=True)
        self._arrived[index] = self._incoming.mark()

    def _in_slot(self, index: int) -> States:
        slot = self._slots[index % len(self._slots)]
        return {
            name: slot[name][: home.numel()] for name, home in self._buckets[index].home.items()
        }

    def _slot(self, fields: Fields) -> States:
        return {
            name: torch.empty(count, dtype=dtype, device=self._device)
            for name, (dtype, count) in fields.items()
        }


def _lane(device: torch.device) -> Lane:
    return CudaLane(torch.cuda.Stream(device)) if device.type == "cuda" else CpuLane()


def _torchs_lane(device: torch.device) -> Lane:
    return CudaLane(torch.cuda.current_stream(device)) if device.type == "cuda" else CpuLane()
