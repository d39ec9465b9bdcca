"""The short forward of a LoRA layer against PEFT's own, bit for bit."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the pinned environment")

from llavakit.steps import lean  # noqa: E402


def adapted(rank: int, alpha: int, dropout: float, dtype: torch.dtype) -> torch.nn.Module:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=["0", "2"])
    base = torch.nn.Sequential(torch.nn.Linear(24, 32), torch.nn.GELU(), torch.nn.Linear(32, 8))
    model = get_peft_model(base, config).to(dtype)
    for name, weight in model.named_parameters():
        if "lora_B" in name:  # PEFT begins with zeros
            torch.nn.init.normal_(weight)
    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_outputs_and_gradients_are_those_of_peft(dtype: torch.dtype) -> None:
    found = []
    for tight in (False, True):
        model = adapted(8, 4, 0.25, dtype)
        if tight:
            assert lean.tighten(model) == 2
        torch.manual_seed(1)
        inputs = torch.randn(5, 24, dtype=dtype, requires_grad=True)
        outputs = model(inputs)
        outputs.float().square().sum().backward()
        grads = {name: weight.grad for name, weight in model.named_parameters()}
        found.append({"x": inputs.grad, "y": outputs.detach(), **grads})
    plain, tight_ = found
    assert {name for name, grad in plain.items() if grad is None} == {
        name for name, grad in tight_.items() if grad is None
    }
    for name, value in plain.items():
        assert value is None or torch.equal(value, tight_[name]), name
    assert all(grad is not None for name, grad in plain.items() if "lora" in name)


def test_dropout_is_off_when_the_model_answers() -> None:
    model = adapted(8, 8, 0.5, torch.float32).eval()
    inputs = torch.randn(3, 24)
    before = model(inputs)
    lean.tighten(model)
    assert torch.equal(model(inputs), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="bitsandbytes quantises on a GPU only")
@pytest.mark.parametrize("expand", [None, torch.bfloat16])
def test_nf4_layers_compute_the_same(expand: torch.dtype | None) -> None:
    import bitsandbytes as bnb

    def quantised() -> torch.nn.Module:
        model = adapted(8, 4, 0.0, torch.float16)
        for layer in (module for module in model.modules() if hasattr(module, "base_layer")):
            base = layer.base_layer
            four = bnb.nn.Linear4bit(
                base.in_features, base.out_features, compute_dtype=torch.float16, quant_type="nf4"
            )
            four.load_state_dict(base.state_dict())
            layer.base_layer = four
        return model.cuda().bfloat16()

    inputs = torch.randn(70, 24, dtype=torch.bfloat16, device="cuda", requires_grad=True)
    plain, tight = quantised(), quantised()
    lean.tighten(tight, expand)
    assert torch.equal(plain(inputs), tight(inputs))
