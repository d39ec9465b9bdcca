"""The room that a run's checkpoints take on the disk, known before the training begins."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from llavakit.errors import WorkspaceError
from llavakit.recipe import Recipe
from llavakit.steps import adapted, checkpoints, weights
from llavakit.steps.plan import Plan

FP32 = 4
ADAMW = 2 * FP32
"""Bytes a parameter: two moments."""
ADAMW_8BIT = 2.1
"""The same in 8 bits, with a scale for every block."""
SPARE_BYTES = 16 << 20
"""For the logs, the history and mmengine's counters."""
GIB = 1 << 30


@dataclass(frozen=True)
class Room:
    """Bytes of one ``checkpoint``, of the ``weights`` that stay, and of all at the ``peak``."""

    checkpoint: int
    weights: int
    peak: int


def needed(parameters: int, plan: Plan, every: int, keep: int) -> Room:
    """The room for training ``parameters`` numbers.

    mmengine 0.10.4 removes the oldest checkpoint before it writes one more, so that ``keep`` is
    the most there are; in the end the weights are written beside the last one.
    """
    checkpoint = parameters * (FP32 + ADAMW)
    if plan.memory and plan.memory.moments == "int8":
        checkpoint = int(parameters * (FP32 + ADAMW_8BIT))
    if plan.deepspeed:  # keeps the weights that it computes with beside the fp32 ones
        half = plan.deepspeed["bf16"]["enabled"] or plan.deepspeed["fp16"]["enabled"]
        checkpoint += parameters * (2 if half else FP32)
    kept = parameters * FP32
    copies = min(keep, -(-plan.iterations // every))
    return Room(checkpoint, kept, max(copies * checkpoint, checkpoint + kept) + SPARE_BYTES)


def check(room: Room, folder: Path) -> None:
    """Whether ``folder``'s disk holds what is not in ``folder`` yet.

    Raises WorkspaceError ``too-little-disk``.
    """
    files = (file for item in checkpoints.found(folder) for file in checkpoints.files(item.path))
    need = room.peak - sum(path.stat().st_size for path in files)
    free = shutil.disk_usage(folder).free
    if free < need:
        raise WorkspaceError("too-little-disk", folder=folder, need=gib(need), free=gib(free))


def gib(count: int) -> str:
    """Bytes as GiB, two decimals."""
    return f"{count / GIB:.2f}"


def trainable(recipe: Recipe, models: Path) -> int:
    """How many numbers XTuner trains: both adapters and the projector. Raises WeightsError."""
    towers = (
        (adapted.llm(models), recipe.train.llm_lora.rank),
        (adapted.vision(models), recipe.train.vision_lora.rank),
    )
    projector = sum(value.numel() for value in weights.projector_state(models).values())
    return int(projector + sum(rank * sum(map(sum, layers)) for layers, rank in towers))
