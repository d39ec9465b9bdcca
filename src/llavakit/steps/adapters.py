"""Reading what ``convert`` wrote, or what a stranger handed in, without running any of it.

Only JSON and safetensors are read. Of a config only the keys named here are used, each with its
type checked; a path to a base model, a module to import or code beside the weights is ignored.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llavakit.errors import WeightsError
from llavakit.phrases import phrase

LLM_ADAPTER = "llm_adapter"
VISION_ADAPTER = "visual_encoder_adapter"
PROJECTOR = "projector"


class _Plain(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class ProjectorSettings(_Plain):
    """The keys of a projector's config.json that are used."""

    visual_hidden_size: int = Field(ge=1, le=65536)
    llm_hidden_size: int = Field(ge=1, le=65536)
    depth: int = Field(ge=1, le=16)
    hidden_act: str = Field(pattern=r"^[a-z_]{1,32}$")
    bias: bool


class LoraSettings(_Plain):
    """The keys of an adapter_config.json that are used. Whatever else would change the
    computation (DoRA, patterns, saved modules) must be off.
    """

    peft_type: Literal["LORA"]
    r: int = Field(ge=1, le=4096)
    lora_alpha: int | float = Field(gt=0)
    target_modules: list[str] = Field(min_length=1)
    bias: Literal["none"]
    fan_in_fan_out: Literal[False] = False
    use_rslora: Literal[False] = False
    use_dora: Literal[False] = False
    modules_to_save: None = None
    layers_to_transform: None = None
    layer_replication: None = None
    rank_pattern: dict[str, int] = Field(default_factory=dict, max_length=0)
    alpha_pattern: dict[str, int] = Field(default_factory=dict, max_length=0)


def load_projector(folder: Path) -> Any:
    """The projector in ``folder/projector``: [.., visual width] -> [.., language width].

    Raises WeightsError ``not-converted`` and ``not-plain``.
    """
    from xtuner.model.modules import ProjectorConfig, ProjectorModel

    part = folder / PROJECTOR
    settings = settings_of(ProjectorSettings, part / "config.json")
    model = ProjectorModel(ProjectorConfig(**settings.model_dump()))
    try:
        model.load_state_dict(tensors_of(part / "model.safetensors"), strict=True)
    except RuntimeError as error:
        raise WeightsError("not-plain", file=part, why=str(error)) from None
    return model


def add_lora(model: Any, part: Path) -> Any:
    """``model`` with the LoRA adapter of ``part``, or ``model`` itself where there is none.

    Raises WeightsError ``not-converted`` and ``not-plain``.
    """
    if not part.is_dir():
        return model
    from peft import LoraConfig, get_peft_model

    settings = settings_of(LoraSettings, part / "adapter_config.json")
    tensors = tensors_of(part / "adapter_model.safetensors")
    config = LoraConfig(
        r=settings.r,
        lora_alpha=settings.lora_alpha,
        target_modules=settings.target_modules,
        bias="none",
    )
    try:
        wrapped = get_peft_model(model, config)
    except (ValueError, RuntimeError) as error:
        raise WeightsError("not-plain", file=part, why=str(error)) from None
    fill(wrapped, tensors, part)
    return wrapped


def fill(wrapped: Any, tensors: dict[str, Any], part: Path) -> None:
    """Put all numbers of an adapter, which lay in ``part``, into a model that has its layers.

    Raises WeightsError ``not-plain`` for any that is missing or too many.
    """
    from peft import set_peft_model_state_dict

    expected = {name for name, _ in wrapped.named_parameters() if ".lora_" in name}
    try:
        outcome = set_peft_model_state_dict(wrapped, tensors)
    except (ValueError, RuntimeError) as error:
        raise WeightsError("not-plain", file=part, why=str(error)) from None
    lost = expected.intersection(outcome.missing_keys)
    if outcome.unexpected_keys or lost:
        odd = sorted([*outcome.unexpected_keys, *lost])[:5]
        raise WeightsError("not-plain", file=part, why=phrase("why.no-match", names=odd))


def settings_of(model: type[Any], path: Path) -> Any:
    """The JSON of ``path``. Raises WeightsError ``not-converted`` and ``not-plain``."""
    try:
        return model.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise WeightsError("not-converted", folder=path.parent, why=f"no {path.name}") from None
    except (ValidationError, ValueError) as error:
        raise WeightsError("not-plain", file=path, why=str(error)) from None


def tensors_of(path: Path) -> dict[str, Any]:
    """All tensors of a file. Raises WeightsError ``not-converted`` and ``not-plain``."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except FileNotFoundError:
        raise WeightsError("not-converted", folder=path.parent, why=f"no {path.name}") from None
    except SafetensorError as error:
        raise WeightsError("not-plain", file=path, why=str(error)) from None


def opened(path: Path) -> Any:
    """A safetensors file whose tensors are read one by one (``get_tensor``, ``get_slice``).

    Raises WeightsError ``not-converted`` and ``not-plain``.
    """
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt")
    except FileNotFoundError:
        raise WeightsError("not-converted", folder=path.parent, why=f"no {path.name}") from None
    except SafetensorError as error:
        raise WeightsError("not-plain", file=path, why=str(error)) from None


def shape(file: Any, name: str) -> tuple[int, ...]:
    """The shape of a tensor in a file from :func:`opened`; its numbers are not read."""
    return tuple(file.get_slice(name).get_shape())
