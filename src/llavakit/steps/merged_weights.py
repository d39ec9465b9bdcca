"""The merged model's tensors in Hugging Face's LLaVA layout, made one at a time.

The names and shapes are those of Transformers' own LlavaForConditionalGeneration. Each number is
the base's in the recipe's dtype, as the kit asks it, plus what was learned, added in fp32 and
rounded once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llavakit.errors import WeightsError
from llavakit.phrases import phrase
from llavakit.steps import adapters, foreign, shards, weights
from llavakit.steps.adapters import ProjectorSettings
from llavakit.steps.device import has_gpu
from llavakit.steps.lora import Lora
from llavakit.steps.shards import Piece, Tensor

LLM = "language_model."
VISION = "vision_tower."
PROJECTOR = {
    "multi_modal_projector.linear_1.weight": "model.0.weight",
    "multi_modal_projector.linear_1.bias": "model.0.bias",
    "multi_modal_projector.linear_2.weight": "model.2.weight",
    "multi_modal_projector.linear_2.bias": "model.2.bias",
}
"""LLaVA's names, and those of XTuner's projector."""
EMBEDDINGS = ("model.embed_tokens.weight", "lm_head.weight")
MEAN_ROWS = 4096
"""A sum in fp32 makes a copy in fp32 of what it sums."""


@dataclass(frozen=True)
class Tokens:
    """What the merged vocabulary has beside the base's: ids, and how many rows there are."""

    image: int
    pad: int
    rows: int


class Stored:
    """The tensors of a model's folder; each is read when its turn comes.

    Raises WeightsError ``missing`` and ``not-plain``.
    """

    def __init__(self, folder: Path, prefix: str = "") -> None:
        self._folder = folder
        index = folder / foreign.INDEX
        files = [foreign.WEIGHTS]
        if index.is_file():
            files = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        self._where: dict[str, Any] = {}
        for name in files:
            if not (folder / name).is_file():
                raise WeightsError("missing", folder=folder, why=f"no {name}")
            file = adapters.opened(folder / name)
            self._where.update((key, file) for key in file.keys() if key.startswith(prefix))  # noqa: SIM118

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: adapters.shape(file, name) for name, file in self._where.items()}

    def tensor(self, name: str) -> Any:
        """The tensor ``name``, on the CPU."""
        if name not in self._where:
            raise WeightsError(
                "missing", folder=self._folder, why=phrase("why.no-tensor", name=name)
            )
        return self._where[name].get_tensor(name)


@dataclass
class Merging:
    """Everything that the merged tensors are made from; see :func:`opened`."""

    models: Path
    llm: Stored
    llm_lora: Lora
    vision: Stored
    vision_lora: Lora
    projector: Mapping[str, Any]
    tokens: Tokens
    dtype: Any
    device: Any

    def pieces(self, tensor: Tensor) -> Iterator[Piece]:
        """The bytes of one of LLaVA's tensors. Raises WeightsError ``missing``."""
        value = self.value(tensor.name)
        if tuple(value.shape) != tensor.shape:
            why = f"{tensor.name} has the shape {list(value.shape)}, not {list(tensor.shape)}"
            raise WeightsError("missing", folder=self.models, why=why)
        return shards.pieces(value.to(self.dtype).cpu())

    def value(self, name: str) -> Any:
        """One of LLaVA's tensors; of what is not in the base's dtype the rounding is to come."""
        if name in PROJECTOR:
            return self.projector[PROJECTOR[name]]
        stored, lora, part = (
            (self.llm, self.llm_lora, LLM) if name.startswith(LLM)
            else (self.vision, self.vision_lora, VISION)
        )  # fmt: skip
        own = name.removeprefix(part)
        value = lora.merged(own, stored.tensor(own).to(self.dtype), self.device)
        return self._filled_up(value) if part == LLM and own in EMBEDDINGS else value

    def _filled_up(self, rows: Any) -> Any:
        """Rows for the tokens that the language model does not know: the mean of all it has.

        Its logit is the mean of theirs, so that it is never the largest, and never answered.
        """
        import torch

        sums = (part.sum(dim=0, dtype=torch.float32) for part in rows.split(MEAN_ROWS))
        mean = (sum(sums) / len(rows)).to(rows.dtype)
        filled = torch.cat([rows, mean.expand(self.tokens.rows - len(rows), -1)])
        filled[[self.tokens.image, self.tokens.pad]] = mean
        return filled


def opened(models: Path, tuned: Path, tokens: Tokens, dtype: str) -> Merging:
    """Open the base in ``models`` and what ``tuned`` (made by ``convert``) adds to it.

    Raises WeightsError ``missing``, ``not-converted``, ``not-plain``, ``other-base`` and
    ``not-llava``.
    """
    import torch

    llm = Stored(models / weights.LLM)
    vision = Stored(models / weights.VISION, foreign.VISION_PREFIX)
    return Merging(
        models=models,
        llm=llm,
        llm_lora=Lora(tuned / adapters.LLM_ADAPTER, llm.shapes(), models / weights.LLM),
        vision=vision,
        vision_lora=Lora(tuned / adapters.VISION_ADAPTER, vision.shapes(), models / weights.VISION),
        projector=_projector(tuned, weights.sizes(models)),
        tokens=tokens,
        dtype=getattr(torch, dtype),
        device=torch.device("cuda" if has_gpu() else "cpu"),
    )


def projector_activation(tuned: Path) -> str:
    """What lies between the projector's layers, by its name in Transformers."""
    path = tuned / adapters.PROJECTOR / "config.json"
    return str(adapters.settings_of(ProjectorSettings, path).hidden_act)


def tensors(config: Any, dtype: str) -> list[Tensor]:
    """All tensors of a LlavaForConditionalGeneration, in its own order; no number is made."""
    import torch
    from transformers import LlavaForConditionalGeneration

    with torch.device("meta"):
        state = LlavaForConditionalGeneration(config).state_dict()
    tied = LLM + EMBEDDINGS[1] if config.text_config.tie_word_embeddings else None
    return [
        Tensor(name, tuple(value.shape), dtype) for name, value in state.items() if name != tied
    ]


def _projector(tuned: Path, widths: weights.Sizes) -> dict[str, Any]:
    """The projector's tensors by XTuner's names. Raises WeightsError ``not-llava``."""
    folder = tuned / adapters.PROJECTOR
    found: dict[str, Any] = adapters.tensors_of(folder / "model.safetensors")
    if set(found) != set(PROJECTOR.values()):
        raise WeightsError("not-llava", file=folder, found=", ".join(sorted(found)))
    shapes = {name: tuple(value.shape) for name, value in found.items() if value.dim() == 2}
    wanted = {"model.0.weight": (widths.llm, widths.vision), "model.2.weight": (widths.llm,) * 2}
    if shapes != wanted:
        raise WeightsError("projector-shape", file=folder, found=shapes, wanted=wanted)
    return found
