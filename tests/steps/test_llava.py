"""The model that is asked, as it lies on a device."""

from __future__ import annotations

import torch
from transformers import AutoConfig, LlamaForCausalLM

from llavakit.steps import llava


def test_half_precision_leaves_the_angles_of_the_positions_alone(chain):
    config = AutoConfig.from_pretrained(chain.root / "models/m/llm")
    model = LlamaForCausalLM(config)
    rotary = model.model.layers[0].self_attn.rotary_emb
    before = rotary.inv_freq.clone()
    placed = llava.placed(model, torch.device("cpu"), torch.float16)
    assert {parameter.dtype for parameter in placed.parameters()} == {torch.float16}
    assert rotary.inv_freq.dtype == torch.float32
    assert torch.equal(rotary.inv_freq, before)
    assert not placed.training
