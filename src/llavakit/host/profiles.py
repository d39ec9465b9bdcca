"""Which of the kit's recipes is the same training in less memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llavakit import recipe as recipes
from llavakit.host.settings import KIT
from llavakit.recipe import Recipe

RECIPES = KIT / "configs" / "recipes"
HOW = {"memory", "deepspeed", "checkpoints", "evaluation", "log_every", "deterministic"}
"""What of ``train`` says how it is trained, not what."""


def fitting(recipe: Recipe, mib: int) -> Recipe | None:
    """The recipe with the training of ``recipe`` that fits a GPU of ``mib`` MiB.

    One with the same maths where there is one, then the one that takes most: it is the fastest.
    None for a recipe of the user's own: those of the kit train on other data.
    """
    fit = [each for each in _same(recipe) if (each.needs.gpu_mib or mib + 1) <= mib]
    return max(fit, key=lambda each: (maths(each) == "identical", each.needs.gpu_mib), default=None)


def gpu_mib(recipe: Recipe, *, trains: bool, asks: bool, merges: bool) -> tuple[int, int]:
    """MiB of one GPU while it trains, and while it or its merged model answers; 0 for neither."""
    needs, in_16_bits = recipe.needs, merges or (asks and recipe.ask.quantization == "none")
    ask = needs.ask_gpu_mib if in_16_bits else needs.ask_nf4_gpu_mib if asks else 0
    return (needs.gpu_mib or 0 if trains else 0), ask or 0


def maths(recipe: Recipe) -> str:
    """``identical`` or ``changed``, against the tutorial's own way to train."""
    return "identical" if recipe.train.memory is None else recipe.train.memory.maths


def _same(recipe: Recipe) -> Iterator[Recipe]:
    kits = [recipes.load(path) for path in sorted(RECIPES.glob("*.yaml"))]
    own = next((each for each in kits if each.name == recipe.name), None)
    if own is not None and _given(own) == _given(recipe):
        # What the user changed in ``train`` is an option, which another recipe takes as well.
        yield from (each for each in kits if each is not own and _same_run(each, own))


def _same_run(one: Recipe, other: Recipe) -> bool:
    alike = _given(one) == _given(other) and one.weights == other.weights
    return alike and one.train.model_dump(exclude=HOW) == other.train.model_dump(exclude=HOW)


def _given(recipe: Recipe) -> dict[str, Any]:
    """What else decides a run, but for the weights and the data's place: options name them."""
    data = recipe.data.model_dump(exclude={"folder", "download", "repeat"})
    ask = recipe.ask.model_dump(exclude={"quantization"})
    return {"data": data, "template": recipe.prompt_template, "ask": ask}
