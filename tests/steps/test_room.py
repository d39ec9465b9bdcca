"""The room on the disk that checkpoints take."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from llavakit import recipe
from llavakit.errors import WorkspaceError
from llavakit.locks import write_json
from llavakit.steps import room
from llavakit.steps.plan import Plan

TUTORIAL = Path(__file__).parents[2] / "configs" / "recipes" / "tutorial.yaml"
TRAINABLE = 1_391_468_544
"""Measured with the tutorial's config and weights of Llama-3-8B's shape."""
LLAMA = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "vocab_size": 128256, "max_position_embeddings": 8192, "rope_theta": 500000.0,
}  # fmt: skip
CLIP = {
    "model_type": "clip",
    "vision_config": {
        "model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096,
        "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 336, "patch_size": 14,
    },
}  # fmt: skip
BF16 = {"bf16": {"enabled": True}, "fp16": {"enabled": False}}
FP32 = {"bf16": {"enabled": False}, "fp16": {"enabled": False}}


def test_the_tutorial_trains_as_many_numbers_as_were_counted(tmp_path):
    for name, config in {"llm": LLAMA, "vision": CLIP}.items():
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "config.json", config)
    zero = torch.zeros(1)
    shapes = {"model.0.weight": (4096, 1024), "model.0.bias": (4096,),
              "model.2.weight": (4096, 4096), "model.2.bias": (4096,)}  # fmt: skip
    projector = {f"projector.{name}": zero.expand(shape) for name, shape in shapes.items()}
    torch.save(projector, tmp_path / "projector.pth")
    assert room.trainable(recipe.load(TUTORIAL), tmp_path) == TRAINABLE


@pytest.mark.parametrize(
    ("deepspeed", "every", "keep", "checkpoint", "peak"),
    [
        (BF16, 500, 2, 14, 28),  # 19.5 GB each, 39 GB
        (BF16, 500, 1, 14, 18),
        (BF16, 5000, 2, 14, 18),  # only the last one, and the weights beside it
        (FP32, 500, 3, 16, 48),
        (None, 600, 5, 12, 24),
    ],
)
def test_the_peak_counts_the_checkpoints_that_there_can_be(
    deepspeed, every, keep, checkpoint, peak
):
    need = room.needed(TRAINABLE, Plan(1200, deepspeed, {}), every, keep)
    assert need.checkpoint == checkpoint * TRAINABLE
    assert need.weights == 4 * TRAINABLE
    assert need.peak == peak * TRAINABLE + room.SPARE_BYTES


def test_what_is_there_already_needs_no_more_room(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(3 << 30))
    need = room.Room(1, 1, 4 << 30)
    with pytest.raises(WorkspaceError) as caught:
        room.check(need, tmp_path)
    assert caught.value.id == "workspace.too-little-disk"
    assert (caught.value.params["need"], caught.value.params["free"]) == ("4.00", "3.00")
    (tmp_path / "iter_5.pth").mkdir()
    with (tmp_path / "iter_5.pth" / "states.pt").open("wb") as file:
        file.truncate(1 << 30)
    room.check(need, tmp_path)
