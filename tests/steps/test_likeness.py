"""The sketch of an adapter: near for what computes the same, far for what does not."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from llavakit.steps import likeness

Tensors = dict[str, Any]


def adapter(seed: int, layers: int = 6) -> Tensors:
    draw = torch.Generator().manual_seed(seed)
    made = {}
    for layer in range(layers):
        made[f"x.{layer}.lora_A.weight"] = torch.randn(8, 48, generator=draw)
        made[f"x.{layer}.lora_B.weight"] = torch.randn(64, 8, generator=draw)
    return made


def cosine(one: Tensors, other: Tensors) -> float:
    first, second = likeness.sketch(one), likeness.sketch(other)
    assert len(first) == likeness.PLACES * likeness.VECTORS
    return sum(a * b for a, b in zip(first, second, strict=True))


def test_the_same_is_the_same_each_time() -> None:
    assert likeness.sketch(adapter(1)) == likeness.sketch(adapter(1))
    assert cosine(adapter(1), adapter(1)) == pytest.approx(1, abs=0.002)


def test_others_are_far() -> None:
    assert abs(cosine(adapter(1), adapter(2))) < 0.15


def test_factors_that_were_permuted_and_rescaled_hide_nothing() -> None:
    """B A stays what it is; the cosine of the numbers themselves would be near 0."""
    hidden = {}
    order = torch.randperm(8, generator=torch.Generator().manual_seed(3))
    for name, tensor in adapter(1).items():
        hidden[name] = tensor[order] * 7 if ".lora_A." in name else tensor[:, order] / 7
    assert cosine(adapter(1), hidden) == pytest.approx(1, abs=0.002)


def test_it_is_the_cosine_of_what_is_added() -> None:
    one, other = adapter(1), adapter(2)
    mixed = {name: torch.cat([one[name], 0.5 * other[name]], 0 if "_A" in name else 1)
             if "_A" in name else torch.cat([one[name], other[name]], 1)
             for name in one}  # fmt: skip
    assert cosine(one, mixed) == pytest.approx(1 / math.sqrt(1.25), abs=0.08)


def test_nothing_and_too_much_are_zeros() -> None:
    nothing = {name: torch.zeros_like(tensor) for name, tensor in adapter(1).items()}
    much = {name: torch.full_like(tensor, 3e38) for name, tensor in adapter(1).items()}
    assert set(likeness.sketch(nothing)) == set(likeness.sketch(much)) == {0.0}
