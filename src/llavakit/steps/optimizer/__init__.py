"""Mixed-precision AdamW as DeepSpeed's ZeRO-2 computes it, without DeepSpeed and in less memory.

bf16 weights and gradients, fp32 master weights and moments: the same numbers, to the bit, that
ZeRO-2 gives in one process. Their place is the GPU or the host's pinned memory, from where they
stream through the GPU at every step.

The rendered config names :class:`MixedPrecisionOptimWrapper` as its optimizer wrapper and
:class:`MixedPrecisionConstructor` as its constructor; mmengine's runner has to be given what
:func:`hooks` returns before it trains.
"""

from __future__ import annotations

from llavakit.steps.optimizer.adamw import MixedPrecisionAdamW
from llavakit.steps.optimizer.saving import MasterWeightsHook, hooks
from llavakit.steps.optimizer.wrapper import MixedPrecisionConstructor, MixedPrecisionOptimWrapper

__all__ = [
    "MasterWeightsHook",
    "MixedPrecisionAdamW",
    "MixedPrecisionConstructor",
    "MixedPrecisionOptimWrapper",
    "hooks",
]
