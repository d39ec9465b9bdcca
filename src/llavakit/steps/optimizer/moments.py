"""How AdamW's two moments are kept between two steps: as they are, or in 8 bits."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple, Protocol

import torch

from llavakit.steps.optimizer.places import Fields, States

BLOCK = 256
"""Numbers that share a scale. bitsandbytes 0.43.1 takes 2048 for its 8-bit AdamW, and 256 since."""


class Moments(NamedTuple):
    """Running means of the gradient and of its square, flat, fp32."""

    exp_avg: torch.Tensor
    exp_avg_sq: torch.Tensor


class Format(Protocol):
    """A way to keep moments. All zeros mean moments of zero."""

    def fields(self, count: int) -> Fields:
        """The tensors for ``count`` numbers."""

    def scratch(self, count: int, device: torch.device) -> States:
        """What :meth:`read` works in, for buckets of up to ``count`` numbers."""

    def read(self, states: States, scratch: States) -> Moments:
        """The moments in ``states``, to be changed in place."""

    def write(self, moments: Moments, states: States) -> None:
        """Keep what :meth:`read` gave."""


class Float32:
    """The moments as they are."""

    def fields(self, count: int) -> Fields:
        """See Format."""
        return dict.fromkeys(Moments._fields, (torch.float32, count))

    def scratch(self, count: int, device: torch.device) -> States:
        """See Format."""
        return {}

    def read(self, states: States, scratch: States) -> Moments:
        """See Format."""
        return Moments(*(states[name] for name in Moments._fields))

    def write(self, moments: Moments, states: States) -> None:
        """See Format."""


class Int8:
    """bitsandbytes' block-wise dynamic format of 8 bits, signed and unsigned.

    An element whose mean square is rounded to zero while its mean is not would move by
    mean / eps, a hundred million times too far. bitsandbytes' own kernel adds the new gradient
    before it divides and is safe only where that is not small; here zero is not used for a mean
    square at all. Its code 1, 3.25e-7 of the block's largest, is 5.7e-4 of that one's root: the
    elements below it move less than they should, never more.
    """

    def __init__(self, device: torch.device) -> None:
        self._functional: Any = importlib.import_module("bitsandbytes.functional")
        make = self._functional.create_dynamic_map
        maps = (make(signed=True), make(signed=False))
        self._maps = dict(zip(Moments._fields, (item.to(device) for item in maps), strict=True))

    def fields(self, count: int) -> Fields:
        """See Format."""
        kept: Fields = dict.fromkeys(Moments._fields, (torch.uint8, count))
        blocks = -(-count // BLOCK)
        return kept | {_scale(name): (torch.float32, blocks) for name in Moments._fields}

    def scratch(self, count: int, device: torch.device) -> States:
        """See Format."""
        return {name: torch.empty(count, device=device) for name in Moments._fields}

    def read(self, states: States, scratch: States) -> Moments:
        """See Format."""
        _check_stream(states["exp_avg"])
        return Moments(*(self._decode(name, states, scratch) for name in Moments._fields))

    def _decode(self, name: str, states: States, scratch: States) -> torch.Tensor:
        out = scratch[name][: states[name].numel()]
        parts = {"absmax": states[_scale(name)], "code": self._maps[name], "out": out}
        if out.is_cuda:
            self._functional.dequantize_blockwise(states[name], **parts, blocksize=BLOCK)
        else:
            _decode_on_cpu(states[name], **parts)
        return out

    def write(self, moments: Moments, states: States) -> None:
        """See Format."""
        for name, value in zip(Moments._fields, moments, strict=True):
            # Whose moment is not a number has a weight that is none either, and stays so.
            value.nan_to_num_(0.0, 0.0, 0.0)
            scale = states[_scale(name)]
            parts = {"absmax": scale, "code": self._maps[name], "out": states[name]}
            if value.is_cuda:
                self._functional.quantize_blockwise(value, **parts, blocksize=BLOCK)
            else:
                _encode_on_cpu(value, **parts)
        states["exp_avg_sq"].clamp_(min=1)


def format_of(name: str, device: torch.device) -> Format:
    """The format ``name``. Raises ValueError."""
    if name == "float32":
        return Float32()
    if name == "int8":
        return Int8(device)
    raise ValueError(f"moments are float32 or int8, not {name}")


def _decode_on_cpu(
    codes: torch.Tensor, absmax: torch.Tensor, code: torch.Tensor, out: torch.Tensor
) -> None:
    """As bitsandbytes' kernel. For CPUs, 0.43.1 has one that crashes on a block of zeros and
    changes the map's first value.
    """
    scales = absmax.repeat_interleave(BLOCK)[: len(out)]
    torch.mul(code[codes.long()], scales, out=out)


def _encode_on_cpu(
    value: torch.Tensor, absmax: torch.Tensor, code: torch.Tensor, out: torch.Tensor
) -> None:
    """To the nearest value of the map, in parts of each block's largest."""
    padded = torch.nn.functional.pad(value, (0, -len(value) % BLOCK)).view(-1, BLOCK)
    torch.amax(padded.abs(), dim=1, out=absmax)
    parts = padded / absmax.where(absmax > 0, 1.0)[:, None]
    nearest = torch.bucketize(parts, (code[1:] + code[:-1]) / 2)
    out.copy_(nearest.flatten()[: len(value)])


def _scale(name: str) -> str:
    return f"{name}_absmax"


def _check_stream(tensor: torch.Tensor) -> None:
    """bitsandbytes 0.43.1 launches on CUDA's default stream, whichever one torch is on."""
    if tensor.is_cuda:
        current = torch.cuda.current_stream(tensor.device)
        if current != torch.cuda.default_stream(tensor.device):
            raise RuntimeError("8-bit moments need torch to be on the default stream")
