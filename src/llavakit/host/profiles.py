"""Which of the kit's recipes is the same training in less memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llavakit import recipe as recipes
from llavakit.host.settings import KIT
from llavakit.recipe import Recipe

RECIPES = KIT / "configs" / "recipes"
HOW = {"memory", "deepspeed", "checkpoints", "evaluation", "log_every"}
"""What of ``train`` says how it is trained, not what."""


def fitting(recipe: Recipe, mib: int) -> Recipe | None:
    """The recipe with the training of ``recipe`` that fits a GPU of ``mib`` MiB.

    One with the same maths where there is one, then the one that takes most: it is the fastest.
    """
    fit = [each for each in _same(recipe) if (each.needs.gpu_mib or mib + 1) <= mib]
    return max(fit, key=lambda each: (maths(each) == "identical", each.needs.gpu_mib), default=None)


def maths(recipe: Recipe) -> str:
    """``identical`` or ``changed``, against the tutorial's own way to train."""
    return "identical" if recipe.train.memory is None else recipe.train.memory.maths


def _same(recipe: Recipe) -> Iterator[Recipe]:
    for path in sorted(RECIPES.glob("*.yaml")):
        other = recipes.load(path)
        if other.name != recipe.name and _trained(other) == _trained(recipe):
            yield other


def _trained(recipe: Recipe) -> dict[str, Any]:
    return recipe.train.model_dump(exclude=HOW)
