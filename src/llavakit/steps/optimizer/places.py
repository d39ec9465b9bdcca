"""Where optimizer states lie: the device, or slabs of the host's pinned memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

States = dict[str, torch.Tensor]
"""The flat tensors of one bucket, by name."""
Fields = dict[str, tuple[Any, int]]
"""Their formats and their numbers of elements."""
GIB = 1 << 30
SLAB = GIB
"""Bytes. torch 2.1 rounds each pinned allocation up to a power of two, which this is."""
ALIGNMENT = 512
"""Bytes between which tensors begin in a slab, as torch does it on a GPU."""


def size(fields: Mapping[str, tuple[Any, int]]) -> int:
    """Bytes of ``fields`` in a slab."""
    return sum(_aligned(dtype.itemsize * count) for dtype, count in fields.values())


def on_device(fields: Fields, device: torch.device) -> States:
    """Zeros on ``device``."""
    return {
        name: torch.zeros(count, dtype=dtype, device=device)
        for name, (dtype, count) in fields.items()
    }


class HostArena:
    """Zeroed tensors in a few large slabs of the host's memory, ``total`` bytes in all."""

    def __init__(self, total: int, pinned: bool) -> None:
        self._left = total
        self._pinned = pinned
        self._slabs: list[tuple[torch.Tensor, int]] = []
        """Each with the number of its bytes that are taken."""

    def take(self, fields: Fields) -> States:
        """The tensors of one bucket."""
        return {name: self._take(dtype, count) for name, (dtype, count) in fields.items()}

    def _take(self, dtype: Any, count: int) -> torch.Tensor:
        need = dtype.itemsize * count
        room = _aligned(need)
        index = self._with_room(room)
        slab, taken = self._slabs[index]
        self._slabs[index] = (slab, taken + room)
        self._left -= room
        return slab[taken : taken + need].view(dtype).zero_()

    def _with_room(self, room: int) -> int:
        for index, (slab, taken) in enumerate(self._slabs):
            if slab.numel() - taken >= room:
                return index
        count = slab_size(room, self._left)
        slab = torch.empty(count, dtype=torch.uint8, pin_memory=self._pinned)
        self._slabs.append((slab, 0))
        return len(self._slabs) - 1


def slab_size(room: int, left: int) -> int:
    """Bytes of the next slab, a power of two: it holds ``room``, and little more than ``left``."""
    most = SLAB if left >= SLAB else 1 << (left.bit_length() - 1)
    return max(most, 1 << (room - 1).bit_length())


def of_its_own(view: torch.Tensor) -> torch.Tensor:
    """``view``, on the host, as a tensor whose storage is no larger than itself; not copied.

    torch.save writes whole storages: of a slab's slice it would write the slab.
    """
    return torch.from_numpy(view.numpy()) if view.device.type == "cpu" else view


def _aligned(count: int) -> int:
    return -(-count // ALIGNMENT) * ALIGNMENT
