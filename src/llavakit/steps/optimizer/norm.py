"""The gradient's norm and the clipping, operation by operation as DeepSpeed 0.14.2 does them.

Of ``DeepSpeedZeroOptimizer`` these are get_grad_norm_direct, scaled_global_norm and
unscale_and_clip_grads, in one process and with bf16's loss scale of 1. Nothing waits for the GPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

SPARE = 1e-6
"""What DeepSpeed adds to the norm."""


def grad_norm(params: Sequence[torch.nn.Parameter]) -> torch.Tensor:
    """The 2-norm of all gradients, fp32, without dimensions; nan where one of them is not finite.

    ``params`` come in the model's order, in which the sum is taken; one without a gradient counts
    as zero.
    """
    norms = [_norm(param) for param in params]
    total = torch.stack(norms).square().sum().float().pow(1.0 / 2.0)
    broken = total.isnan().logical_or(total.isinf())
    # Meant to be -1 for those; but False * nan is nan.
    total = broken * torch.full_like(total, -1.0) + broken.logical_not() * total
    return torch.norm(torch.stack([total]), p=2)


def clip_factor(norm: torch.Tensor, max_norm: float) -> torch.Tensor:
    """What the gradients are multiplied by, fp32, without dimensions.

    Exactly 1 where nothing is to be clipped, where ``max_norm`` is 0, and where the norm is nan:
    DeepSpeed checks for overflow in fp16 only, and so does not skip such a step in bf16.
    """
    one = torch.ones_like(norm)
    if max_norm <= 0:
        return one
    clip = (norm + SPARE) / max_norm
    return torch.where(clip > 1, 1.0 / clip, one)


def _norm(param: torch.nn.Parameter) -> torch.Tensor:
    if param.grad is None:
        return torch.zeros((), dtype=torch.float64, device=param.device)
    return torch.norm(param.grad.double(), 2.0)
