"""Parameters in groups of a few million numbers, whose optimizer states are flat tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from llavakit.steps.optimizer.places import States

ELEMENTS = 16 << 20
"""Most numbers in a bucket of more than one parameter: 64 MiB a state in fp32, enough for a full
speed of transfer; what a step allocates is a dozen times that."""


@dataclass
class Bucket:
    """Neighbouring parameters and their states."""

    params: list[torch.nn.Parameter]
    home: States = field(default_factory=dict)
    """``master`` and the moments; where they stay between two steps."""
    resident: bool = True
    """Whether that is where the parameters are."""

    @property
    def sizes(self) -> list[int]:
        """Numbers of elements of the parameters."""
        return [param.numel() for param in self.params]

    @property
    def count(self) -> int:
        """Number of elements of the bucket."""
        return sum(self.sizes)

    def views(self, flat: torch.Tensor) -> Iterator[tuple[torch.nn.Parameter, torch.Tensor]]:
        """Each parameter with its part of ``flat`` (count), in the parameter's shape."""
        parts = torch.split(flat, self.sizes)
        return (
            (param, part.view(param.shape)) for param, part in zip(self.params, parts, strict=True)
        )

    def take_grads(self, flat: torch.Tensor) -> None:
        """Move the gradients into ``flat`` (count, fp32); a missing one is zero."""
        for param, part in self.views(flat):
            if param.grad is None:
                part.zero_()
            else:
                part.copy_(param.grad)
                param.grad = None

    def read_params(self, flat: torch.Tensor) -> None:
        """Copy the parameters into ``flat`` (count, fp32)."""
        for param, part in self.views(flat):
            part.copy_(param.detach())

    def write_params(self, flat: torch.Tensor) -> None:
        """Round ``flat`` (count, fp32) to the parameters."""
        for param, part in self.views(flat):
            param.detach().copy_(part)


def fill(params: Iterable[torch.nn.Parameter], elements: int) -> list[Bucket]:
    """``params`` in order, in buckets of ``elements`` at most; a larger one has its own."""
    buckets: list[Bucket] = []
    count = elements
    for param in params:
        if count + param.numel() > elements:
            buckets.append(Bucket([]))
            count = 0
        buckets[-1].params.append(param)
        count += param.numel()
    return buckets


def check(params: Sequence[torch.nn.Parameter]) -> None:
    """Whether one optimizer can hold ``params``. Raises ValueError."""
    if not params:
        raise ValueError("there is no parameter to train")
    kinds = {(param.device, param.dtype) for param in params}
    if len(kinds) > 1:
        raise ValueError(f"parameters of one device and format are wanted, found {kinds}")
    if params[0].dtype not in (torch.bfloat16, torch.float32):
        raise ValueError(f"parameters in bf16 or fp32 are wanted, found {params[0].dtype}")
    if min(param.numel() for param in params) == 0:
        raise ValueError("a parameter is empty")
