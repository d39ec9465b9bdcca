"""mmengine's side: what the rendered config names instead of AdamW and its wrapper."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper

from llavakit.steps.optimizer.adamw import MixedPrecisionAdamW


class MixedPrecisionOptimWrapper(OptimWrapper):  # type: ignore[misc]
    """mmengine's wrapper as it is, without its clipping: the optimizer clips.

    There is no autocast: the model itself is in bf16. Over ``accumulative_counts`` iterations the
    gradients add up in bf16, as with DeepSpeed.
    """

    def __init__(self, optimizer: MixedPrecisionAdamW, accumulative_counts: int = 1) -> None:
        super().__init__(optimizer, accumulative_counts=accumulative_counts)


class MixedPrecisionConstructor:
    """Casts the model as DeepSpeed does and builds the optimizer over what is trained.

    Raises ValueError for what it cannot do: options by parameter, more than one process.
    """

    def __init__(
        self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None
    ) -> None:
        if paramwise_cfg:
            raise ValueError("all parameters are trained alike: no paramwise_cfg")
        self._config = dict(optim_wrapper_cfg)

    def __call__(self, model: torch.nn.Module) -> MixedPrecisionOptimWrapper:
        """The wrapper for ``model``, which is changed."""
        if is_model_wrapper(model):
            raise ValueError("this optimizer trains in one process")
        cast(model)
        config = dict(self._config)
        wrapper = config.pop("type", MixedPrecisionOptimWrapper)
        trained = [param for param in model.parameters() if param.requires_grad]
        optimizer = MixedPrecisionAdamW(trained, **config.pop("optimizer"))
        made: MixedPrecisionOptimWrapper = wrapper(optimizer, **config)
        return made


def cast(model: torch.nn.Module) -> None:
    """All parameters and buffers with fractions to bf16 on a GPU, as ``deepspeed.initialize`` does.

    On a CPU to fp32: torch 2.1.2 crashes there in bf16's backward.
    """
    if any(param.is_cuda for param in model.parameters()):
        model.bfloat16()
        torch.cuda.empty_cache()  # what held the fp32 weights
    else:
        model.float()
