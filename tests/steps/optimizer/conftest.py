"""The devices, and the small training by the kit's optimizer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from steps.optimizer.small import Settings, loss_of, make_model

from llavakit.steps.optimizer import MixedPrecisionAdamW


@pytest.fixture(autouse=True)
def _one_thread():
    """As ``steps.device.prepare`` sets it: sums are split by the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["cpu", "cuda"])
def device(request) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU here")
    return request.param


class Kit:
    """The small training, which can be stopped and asked at any step."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        self.settings = settings
        self.model = make_model().to(settings.device, getattr(torch, settings.dtype))
        self.params = [param for param in self.model.parameters() if param.requires_grad]
        self.optimizer = MixedPrecisionAdamW(
            self.params,
            lr=1.0,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            max_norm=settings.max_norm,
            **options,
        )
        self.losses: list[torch.Tensor] = []
        self.norms: list[torch.Tensor] = []

    def run(self, first: int = 0, last: int | None = None) -> Kit:
        for step in range(first, self.settings.steps if last is None else last):
            self.optimizer.param_groups[0]["lr"] = self.settings.lr(step)
            for micro in range(self.settings.accumulation):
                loss = loss_of(self.model, self.settings, step, micro)
                (loss / self.settings.accumulation).backward()
            self.optimizer.step()
            self.losses.append(loss.detach())
            self.norms.append(self.optimizer.grad_norm)
        return self

    def flat(self, name: str) -> torch.Tensor:
        """``master`` or a moment over all parameters, on the CPU."""
        if name == "master":
            masters = self.optimizer.masters()
            parts = [masters[id(param)] for param in self.params]
        else:
            parts = [bucket[name] for bucket in self.optimizer.state_dict()["buckets"]]
        return torch.cat([part.detach().cpu().flatten() for part in parts])


@pytest.fixture(scope="session")
def train() -> type[Kit]:
    return Kit


@pytest.fixture(scope="session")
def same():
    """Whether two trainings gave the same bits."""

    def compare(one: Kit, other: Kit) -> None:
        assert torch.equal(torch.stack(one.losses[-5:]), torch.stack(other.losses[-5:]))
        assert all(map(torch.equal, one.params, other.params))
        for name in ("master", "exp_avg", "exp_avg_sq"):
            assert torch.equal(one.flat(name), other.flat(name))

    return compare
