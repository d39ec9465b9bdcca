"""The optimizer: AdamW on fp32 master weights of parameters in bf16.

The order of operations is that of DeepSpeed 0.14.2's ``DeepSpeedZeroOptimizer.step`` in bf16 with
torch's AdamW, world size 1. There everything is one flat tensor; here it is cut into buckets, which
changes no number: after the norm, each element is computed by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim.adamw import adamw

from llavakit.steps.optimizer import buckets, places
from llavakit.steps.optimizer.buckets import Bucket
from llavakit.steps.optimizer.moments import format_of
from llavakit.steps.optimizer.norm import clip_factor, grad_norm
from llavakit.steps.optimizer.places import Fields, States
from llavakit.steps.optimizer.ring import Ring

MASTER = "master"


class MixedPrecisionAdamW(torch.optim.Optimizer):  # type: ignore[misc]
    """AdamW with decoupled weight decay, for one process.

    ``params`` are in bf16, or in fp32 on a CPU, all on one device, in the model's order. ``states``
    says where master weights and moments lie: ``gpu`` is where the parameters are; ``host`` is
    pinned memory, except for the first ``resident_gib`` GiB, which stay with the parameters.
    ``moments`` is ``float32`` or ``int8``. ``max_norm`` of 0 clips nothing.

    Raises ValueError for arguments that do not fit.
    """

    def __init__(
        self,
        params: Iterable[torch.nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        max_norm: float = 1.0,
        states: str = "gpu",
        resident_gib: float = 0.0,
        moments: str = "float32",
        bucket_elements: int = buckets.ELEMENTS,
    ) -> None:
        params = list(params)
        buckets.check(params)
        if states not in ("gpu", "host"):
            raise ValueError(f"states are on the gpu or the host, not {states}")
        defaults = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)
        self.grad_norm: torch.Tensor | None = None
        """Of the last step, before clipping; without dimensions, on the device."""
        self._params = params
        self._device = params[0].device
        self._max_norm = max_norm
        self._steps = 0
        self._moments = moments
        self._format = format_of(moments, self._device)
        self._buckets = buckets.fill(params, bucket_elements)
        self._settle(resident_gib * places.GIB if states == "host" else float("inf"))
        self._streamed = [bucket for bucket in self._buckets if not bucket.resident]
        self._resident = [bucket for bucket in self._buckets if bucket.resident]
        self._ring = Ring(self._streamed, self._device, self._fields)

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Clip, update, and drop the gradients. Never waits for the GPU.

        A norm that is not finite clips nothing and skips nothing, as in DeepSpeed: what it belongs
        to becomes nan.
        """
        with torch.enable_grad():
            loss = closure() if closure is not None else None
        with torch.no_grad():
            self._ring.start()  # the first states arrive while the norm is computed
            self.grad_norm = grad_norm(self._params)
            factor = clip_factor(self.grad_norm, self._max_norm)
            self._steps += 1
            scratch = self._scratch()
            for index, bucket in enumerate(self._streamed):
                self._update(bucket, self._ring.take(index), scratch, factor)
                self._ring.give(index)
            for bucket in self._resident:  # while the last of the others go back
                self._update(bucket, bucket.home, scratch, factor)
            self._ring.finish()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Moments, the number of steps and what the schedulers changed; no master weights.

        The tensors are the optimizer's own, not copies.
        """
        self._await_host()
        return {
            "moments": self._moments,
            "steps": self._steps,
            "sizes": self._sizes(),
            "buckets": [
                {name: places.of_its_own(value) for name, value in _moments_of(bucket).items()}
                for bucket in self._buckets
            ],
            "param_groups": [
                {name: value for name, value in self.param_groups[0].items() if name != "params"}
            ],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Copy what :meth:`state_dict` gave, wherever the states lay then.

        Raises ValueError where it belongs to other parameters, buckets or moments; nothing is
        changed then.
        """
        self._check_state(state_dict)
        self._await_host()
        with torch.no_grad():
            for bucket, saved in zip(self._buckets, state_dict["buckets"], strict=True):
                for name, value in _moments_of(bucket).items():
                    value.copy_(saved[name])
        self._steps = state_dict["steps"]
        self.param_groups[0].update(state_dict["param_groups"][0])

    def masters(self) -> dict[int, torch.Tensor]:
        """The fp32 weights by ``id`` of their parameter and in its shape: views, not copies.

        Those on the host are whole and stay so until the next :meth:`step`.
        """
        self._await_host()
        views = (bucket.views(bucket.home[MASTER]) for bucket in self._buckets)
        return {id(param): view for pairs in views for param, view in pairs}

    def load_masters(self, weights: dict[int, torch.Tensor]) -> None:
        """Copy fp32 weights by ``id`` of their parameter, and round the parameters from them.

        Raises ValueError where one is missing or has another shape; nothing is changed then.
        """
        masters = self.masters()
        wrong = sum(
            id(param) not in weights or weights[id(param)].shape != param.shape
            for param in self._params
        )
        if wrong:
            raise ValueError(f"{wrong} of {len(masters)} weights are missing or of another shape")
        with torch.no_grad():
            for param in self._params:
                masters[id(param)].copy_(weights[id(param)])
                param.detach().copy_(weights[id(param)])

    def _update(
        self, bucket: Bucket, states: States, scratch: States, factor: torch.Tensor
    ) -> None:
        """One bucket's part of the step; ``states`` are on the device."""
        grad = scratch["grad"][: bucket.count]
        bucket.take_grads(grad)
        grad.mul_(factor)
        mean, square = read = self._format.read(states, scratch)
        group = self.param_groups[0]
        adamw(
            [states[MASTER]],
            [grad],
            [mean],
            [square],
            [],
            [self._steps_before()],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )
        self._format.write(read, states)
        bucket.write_params(states[MASTER])

    def _steps_before(self) -> torch.Tensor:
        """What torch's AdamW counts on from, on the host."""
        return torch.tensor(float(self._steps - 1), dtype=torch.float32)

    def _scratch(self) -> States:
        """Room for one bucket, for the time of a step."""
        count = max(bucket.count for bucket in self._buckets)
        grad = torch.empty(count, dtype=torch.float32, device=self._device)
        return {"grad": grad, **self._format.scratch(count, self._device)}

    def _fields(self, count: int) -> Fields:
        return {MASTER: (torch.float32, count), **self._format.fields(count)}

    def _settle(self, left: float) -> None:
        """Give every bucket its states: moments of zero, masters from the rounded parameters.

        The first ``left`` bytes go to the parameters' device.
        """
        for bucket in self._buckets:
            left -= places.size(self._fields(bucket.count))
            bucket.resident = left >= 0
        away = [bucket for bucket in self._buckets if not bucket.resident]
        total = sum(places.size(self._fields(bucket.count)) for bucket in away)
        arena = places.HostArena(total, pinned=self._device.type == "cuda")
        for bucket in self._buckets:
            fields = self._fields(bucket.count)
            here = bucket.resident
            bucket.home = places.on_device(fields, self._device) if here else arena.take(fields)
            bucket.read_params(bucket.home[MASTER])

    def _sizes(self) -> list[list[int]]:
        return [bucket.sizes for bucket in self._buckets]

    def _check_state(self, state_dict: dict[str, Any]) -> None:
        if state_dict.get("moments") != self._moments:
            kind = state_dict.get("moments")
            raise ValueError(f"the saved moments are {kind}, these are {self._moments}")
        if state_dict["sizes"] != self._sizes():
            raise ValueError("the saved moments belong to other parameters or buckets")
        for bucket, saved in zip(self._buckets, state_dict["buckets"], strict=True):
            for name, value in _moments_of(bucket).items():
                if saved[name].shape != value.shape or saved[name].dtype != value.dtype:
                    raise ValueError(f"the saved {name} of a bucket has another shape or format")

    def _await_host(self) -> None:
        """Wait for what is on its way to the host."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def _moments_of(bucket: Bucket) -> States:
    return {name: value for name, value in bucket.home.items() if name != MASTER}
