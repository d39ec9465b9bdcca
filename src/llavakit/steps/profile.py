"""A memory profile at work: what is changed in XTuner for the life of the process, and why.

The optimizer is in :mod:`llavakit.steps.optimizer`, named by the rendered config. The rest is here:
no fp32 copies while the model is loaded, LoRA layers of fewer kernels, and memory of the GPU in
segments that grow, so that sizes that change from sample to sample leave no holes.
"""

from __future__ import annotations

import os
from typing import Any

from llavakit.steps import lean, xtuner_patches
from llavakit.training import Memory

ALLOCATOR = "PYTORCH_CUDA_ALLOC_CONF"


def before_cuda(memory: Memory | None) -> None:
    """What torch reads once, when it first uses a GPU."""
    if memory is not None:
        os.environ.setdefault(ALLOCATOR, "expandable_segments:True")


def apply(memory: Memory) -> None:
    """Change what XTuner will build. Call before its trainer."""
    from llavakit.steps import optimizer

    xtuner_patches.prepare_without_fp32_copies()
    for hook in (*optimizer.hooks(), _tightener(memory)):
        xtuner_patches.register_hook(hook)


def _tightener(memory: Memory) -> Any:
    from mmengine.hooks import Hook

    class Tightener(Hook):  # type: ignore[misc]
        priority = "HIGHEST"  # before XTuner's first look at its answers

        def before_train(self, runner: Any) -> None:
            dtype = runner.model.llm.get_input_embeddings().weight.dtype
            lean.tighten(runner.model, dtype if memory.frozen == "expanded" else None)

    return Tightener()
