"""A LoRA adapter's part in the weights that it was trained on: W + B A * alpha / r, as PEFT merges.

Matrices are read from the file when their turn comes: the tutorial's adapter has 2.6 GB.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llavakit.errors import WeightsError
from llavakit.steps import adapters
from llavakit.steps.adapters import LoraSettings

PREFIX = "base_model.model."
"""Of PEFT's names, before those of the model."""
WEIGHT = ".weight"
Shapes = Mapping[str, tuple[int, ...]]


class Lora:
    """The adapter in ``part``, checked against the weights that it is to change.

    ``shapes`` are those of the model's tensors by name, ``base`` says where the model lies.
    Raises WeightsError ``not-converted``, ``not-plain`` and ``other-base``.
    """

    def __init__(self, part: Path, shapes: Shapes, base: Path) -> None:
        self._settings: LoraSettings = adapters.settings_of(
            LoraSettings, part / "adapter_config.json"
        )
        self._file = adapters.opened(part / "adapter_model.safetensors")
        found = {name: adapters.shape(self._file, name) for name in self._file.keys()}  # noqa: SIM118
        self._check(part, found, shapes, base)

    def merged(self, name: str, weight: Any, device: Any) -> Any:
        """``weight`` with what was learned added, in fp32; other tensors than the adapted pass."""
        import torch

        if not self._adapts(name):
            return weight
        module = name.removesuffix(WEIGHT)
        first, second = (
            self._file.get_tensor(f"{PREFIX}{module}.lora_{letter}.weight").to(
                device, torch.float32
            )
            for letter in "AB"
        )
        scale = self._settings.lora_alpha / self._settings.r
        # Not in place: the weight may be a view of its file.
        return torch.addmm(weight.to(device, torch.float32), second, first, alpha=scale)

    def _adapts(self, name: str) -> bool:
        """Whether PEFT puts a pair of matrices beside the tensor ``name``."""
        module = name.removesuffix(WEIGHT)
        targets = self._settings.target_modules
        named = any(module == target or module.endswith(f".{target}") for target in targets)
        return named and name.endswith(WEIGHT)

    def _check(self, part: Path, found: Shapes, shapes: Shapes, base: Path) -> None:
        rank, wanted = self._settings.r, {}
        for name, shape in shapes.items():
            if self._adapts(name):
                out, into = shape if len(shape) == 2 else (-1, -1)  # only matrices are merged
                module = PREFIX + name.removesuffix(WEIGHT)
                wanted[f"{module}.lora_A.weight"] = (rank, into)
                wanted[f"{module}.lora_B.weight"] = (out, rank)
        if found == wanted:
            return
        odd = sorted(found.items() ^ wanted.items())
        name, shape = odd[0]
        why = f"{name} {list(shape)} is {'not in the base' if name in found else 'missing'}"
        raise WeightsError("other-base", file=part, base=base, why=why)
