"""A small training whose every number is to be compared, however it is computed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

WIDTH = 40
BATCH, LENGTH = 3, 7


@dataclass
class Settings:
    """Of one training; the learning rate and the size of the loss change with every step."""

    device: str = "cpu"
    dtype: str = "bfloat16"
    steps: int = 20
    accumulation: int = 1
    weight_decay: float = 0.0
    max_norm: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    broken_at: int = -1
    """A step whose gradient is not finite."""

    def lr(self, step: int) -> float:
        return 1e-3 * (1 + step % 7) / (1 + step)

    def scale(self, step: int) -> float:
        """Of the loss: every third step's gradient is small enough not to be clipped."""
        if step == self.broken_at:
            return float("inf")
        return 0.01 if step % 3 == 1 else 10.0


class Block(nn.Module):
    """Attention and an MLP, with one frozen layer, a buffer, and a parameter nobody uses."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.LayerNorm(WIDTH)
        self.mix = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.unused = nn.Parameter(torch.randn(11))
        self.frozen = nn.Linear(WIDTH, WIDTH).requires_grad_(False)
        self.out = nn.Sequential(nn.Linear(WIDTH, 97), nn.GELU(), nn.Linear(97, WIDTH))
        self.register_buffer("shift", torch.randn(WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.mix(self.before(x)).chunk(3, dim=-1)
        weights = torch.softmax(query @ key.transpose(-1, -2) / WIDTH**0.5, dim=-1)
        return x + self.out(self.frozen(weights @ value) + self.shift)


def make_model(seed: int = 0) -> nn.Module:
    """In fp32, on the CPU."""
    torch.manual_seed(seed)
    return nn.Sequential(Block(), Block(), nn.Linear(WIDTH, 5))


def loss_of(model: nn.Module, settings: Settings, step: int, micro: int = 0) -> torch.Tensor:
    """fp32, without dimensions."""
    generator = torch.Generator().manual_seed(1000 * step + micro)
    x, y = (torch.randn(BATCH, LENGTH, n, generator=generator) for n in (WIDTH, 5))
    x = x.to(settings.device, next(model.parameters()).dtype)
    return settings.scale(step) * (model(x).float() - y.to(settings.device)).square().mean()
