"""The declare step: which tensors a submission of this recipe has, and what its configs say.

It reads the recipe and the base model's configs, and nothing of any submission.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llavakit.artefact import Artefact
from llavakit.recipe import Recipe
from llavakit.steps import adapted, common, outputs, weights
from llavakit.steps.adapted import Layer
from llavakit.steps.common import Job
from llavakit.training import Lora

PREFIX = "base_model.model."
"""Of PEFT's names, before those of the model."""


def make(job: Job) -> None:
    """Write ``--out``: the parts' shapes, as :class:`llavakit.submission.Shapes`."""
    outputs.file(job.args.out, parts(job.recipe, job.args.weights), job)


def parts(recipe: Recipe, models: Path) -> dict[str, Any]:
    """Each part by its name. Raises WeightsError."""
    train, given = recipe.train, recipe.weights
    llm = _adapter(adapted.named_llm(models), train.llm_lora, _names("llm", given.llm))
    vision = _adapter(
        adapted.named_vision(models), train.vision_lora, _names("vision", given.vision)
    )
    return {"llm_adapter": llm, "visual_encoder_adapter": vision, "projector": _projector(models)}


def _adapter(layers: Mapping[str, Layer], lora: Lora, bases: list[str]) -> dict[str, Any]:
    tensors = {}
    for name, layer in layers.items():
        tensors[f"{PREFIX}{name}.lora_A.weight"] = [lora.rank, layer.inputs]
        tensors[f"{PREFIX}{name}.lora_B.weight"] = [layer.outputs, lora.rank]
    settings = {
        "peft_type": "LORA",
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "target_modules": sorted({name.rpartition(".")[2] for name in layers}),
        "bias": "none",
        "fan_in_fan_out": False,
    }
    return {"tensors": tensors, "settings": settings, "bases": bases}


def _projector(models: Path) -> dict[str, Any]:
    llm, vision = weights.sizes(models)
    depth = weights.check_projector(models)
    tensors: dict[str, list[int]] = {}
    for index in range(depth):
        tensors[f"model.{2 * index}.weight"] = [llm, vision if index == 0 else llm]
        tensors[f"model.{2 * index}.bias"] = [llm]
    settings = {
        "visual_hidden_size": vision,
        "llm_hidden_size": llm,
        "depth": depth,
        "hidden_act": "gelu",
        "bias": True,
    }
    return {"tensors": tensors, "settings": settings, "bases": []}


def _names(part: str, source: object) -> list[str]:
    """Last words of the paths that the base has: the kit's own, and the hubs'."""
    names = [part]
    if isinstance(source, Artefact):
        names.append(source.name)
        for each in source.sources:
            repository = getattr(each, "repository", "")
            names += [repository.rpartition("/")[2]] if repository else []
    return list(dict.fromkeys(names))


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True, help="the folder models/NAME")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")


if __name__ == "__main__":
    sys.exit(common.run("declare", make, _arguments))
