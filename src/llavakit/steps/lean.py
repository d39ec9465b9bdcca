"""A LoRA layer in few kernels: PEFT's and bitsandbytes' own launch twice as many.

At batch size 1 a step is bound by launches, not by arithmetic (docs/levers.md). The numbers are
those of the layers that are replaced, bit for bit where ``alpha / rank`` is a power of two: then
scaling is exact, and a sum that scales rounds once like one that does not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

ADAPTER = "default"
"""PEFT's name for the only adapter there is."""


def tighten(model: Any, expand: Any = None) -> int:
    """Give every LoRA layer of ``model`` the short forward; returns how many there were.

    ``expand``: a torch dtype, that of the activations; layers in NF4 get their values in it for
    good, two bytes a weight instead of half of one, and no pass dequantises any more.
    """
    layers = [module for module in model.modules() if _is_lora(module)]
    for layer in layers:
        layer.forward = partial(_forward, layer, _frozen(layer.get_base_layer(), expand))
    return len(layers)


def hook(*, expand: bool) -> Any:
    """A mmengine hook that tightens the model before XTuner first looks at its answers.

    For models of one number format: PEFT's own forward converts between two, this one does not.
    """
    from mmengine.hooks import Hook
    from mmengine.model import is_model_wrapper

    class Tightener(Hook):  # type: ignore[misc]
        priority = "HIGHEST"

        def before_train(self, runner: Any) -> None:
            model = runner.model.module if is_model_wrapper(runner.model) else runner.model
            dtype = model.llm.get_input_embeddings().weight.dtype
            tighten(model, dtype if expand else None)

    return Tightener()


def _frozen(base: Any, expand: Any) -> Callable[[Any], Any]:
    """The frozen layer below an adapter as a function of its input."""
    from torch.nn.functional import linear

    if not _is_nf4(base):
        return partial(linear, weight=base.weight, bias=base.bias)
    if expand is None:
        return base.forward  # type: ignore[no-any-return]
    return partial(linear, weight=_expanded(base, expand), bias=base.bias)


def _is_lora(module: Any) -> bool:
    from peft.tuners.lora import LoraLayer

    return isinstance(module, LoraLayer) and ADAPTER in module.lora_A


def _is_nf4(layer: Any) -> bool:
    return getattr(layer.weight, "quant_state", None) is not None


def _expanded(layer: Any, dtype: Any) -> Any:
    """The weights of a bitsandbytes layer, [out, in], as every pass would compute them.

    bitsandbytes 0.43 computes in the format of a bf16 input, whatever ``bnb_4bit_compute_dtype``
    says, and dequantises to the format that was quantised before it rounds to that.
    """
    import torch
    from bitsandbytes import functional

    weight = functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state).to(dtype)
    layer.weight.data = torch.empty(0, dtype=torch.uint8, device=weight.device)
    return weight


def _forward(layer: Any, frozen: Callable[[Any], Any], x: Any) -> Any:
    """The layer's output, [..., out], for ``x``, [..., in]."""
    import torch
    from torch.nn.functional import linear

    down, up = layer.lora_A[ADAPTER], layer.lora_B[ADAPTER]
    dropped = layer.lora_dropout[ADAPTER](x)
    low = linear(linear(dropped, down.weight), up.weight)
    return torch.add(frozen(x), low, alpha=layer.scaling[ADAPTER])
