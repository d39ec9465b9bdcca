"""What is drawn ahead is what PEFT would have drawn, bit for bit; else PEFT draws."""

from __future__ import annotations

import threading
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the pinned environment")

from llavakit.steps import adapted, ahead, xtuner_patches  # noqa: E402
from llavakit.steps.adapted import Layer  # noqa: E402

RANK = 8
WIDTH = 20
PROJECTOR = [Layer(12, 16), Layer(16, 16)]


def llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(99)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 40}
    return LlamaForCausalLM(LlamaConfig(**sizes, **heads))


def drawn(
    seed: int, draws: ahead.Draws | None, before: int = 0, *, loader: bool = False
) -> dict[str, Any]:
    """The adapters as XTuner's model makes them, and the generator after that."""
    import xtuner.model.llava as module
    from peft import LoraConfig
    from xtuner.model.utils import find_all_linear_names

    model = llama()
    torch.manual_seed(seed)
    if loader:
        iter(torch.utils.data.DataLoader([1, 2]))
    torch.randn(WIDTH)
    for layer in PROJECTOR:
        torch.nn.Linear(*layer)
    torch.rand(before)
    make = module.get_peft_model
    if draws is not None:
        xtuner_patches.begin_adapters_with(draws)
    try:
        config = LoraConfig(r=RANK, lora_alpha=4, target_modules=find_all_linear_names(model))
        made = module.get_peft_model(model, config)
    finally:
        module.get_peft_model = make
    weights = {name: value.clone() for name, value in made.named_parameters() if "lora" in name}
    return {**weights, "after": torch.get_rng_state()}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def draws_for(
    model: Any, seed: int, layers: list[Layer] | None = None, *, loader: bool = False
) -> ahead.Draws:
    layers = layers or adapted.layers(model)
    return ahead.Draws(seed, WIDTH, PROJECTOR, layers, RANK, loader=loader)


@pytest.mark.parametrize("loader", [False, True])
def test_the_adapters_are_the_same_bits_and_the_generator_goes_on_alike(
    loader: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = drawn(3, draws_for(llama(), 3, loader=loader), loader=loader)
    assert xtuner_patches.NOT_AHEAD not in capsys.readouterr().out
    assert same(taken, drawn(3, None, loader=loader))
    assert len(taken) == 2 * 2 * 7 + 1


@pytest.mark.parametrize(
    ("seed", "before", "layers"),
    [(4, 0, None), (3, 5, None), (3, 0, [Layer(16, 16)])],
    ids=["another seed", "something else was drawn", "another model"],
)
def test_where_it_was_foreseen_wrongly_peft_draws(
    seed: int, before: int, layers: list[Layer] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    draws = draws_for(llama(), 3, layers)
    assert same(drawn(seed, draws, before), drawn(seed, None, before))
    assert xtuner_patches.NOT_AHEAD in capsys.readouterr().out


def test_a_thread_that_fails_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(ahead.Draws, "_skip", fail)
    draws = draws_for(llama(), 3)
    monkeypatch.undo()
    assert same(drawn(3, draws), drawn(3, None))


def test_torch_s_function_is_put_back() -> None:
    before = torch.nn.init.kaiming_uniform_
    drawn(3, draws_for(llama(), 3))
    assert torch.nn.init.kaiming_uniform_ is before
