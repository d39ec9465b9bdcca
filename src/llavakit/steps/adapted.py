"""Which layers XTuner gives an adapter, and of what sizes, before a weight is read.

The two models are built on torch's meta device, which holds no numbers.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, NamedTuple

from llavakit.steps import weights

HEADS = ("lm_head", "output_layer")


class Layer(NamedTuple):
    """A linear layer's widths."""

    inputs: int
    outputs: int


def llm(models: Path) -> list[Layer]:
    """The language model's adapted layers, in its order. Raises WeightsError."""
    return list(named_llm(models).values())


def vision(models: Path) -> list[Layer]:
    """The vision tower's adapted layers, in its order. Raises WeightsError."""
    return list(named_vision(models).values())


@functools.cache
def named_llm(models: Path) -> dict[str, Layer]:
    """The same by their names in the model."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    plain: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(models / weights.LLM, **plain)
    with torch.device("meta"):
        return named(AutoModelForCausalLM.from_config(config, trust_remote_code=False))


@functools.cache
def named_vision(models: Path) -> dict[str, Layer]:
    """The same by their names in the tower."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig.from_pretrained(models / weights.VISION, local_files_only=True)
    with torch.device("meta"):
        return named(CLIPVisionModel(config))


def layers(model: Any) -> list[Layer]:
    """XTuner adapts all linear layers but the head."""
    return list(named(model).values())


def named(model: Any) -> dict[str, Layer]:
    """The same by name."""
    import torch

    return {
        name: Layer(module.in_features, module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name.rpartition(".")[2] not in HEADS
    }
