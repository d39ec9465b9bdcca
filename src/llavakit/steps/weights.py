"""The folder ``models/NAME``: where its parts lie, and whether they fit each other."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from llavakit.errors import WeightsError

LLM = "llm"
VISION = "vision"
PROJECTOR = "projector.pth"


class Sizes(NamedTuple):
    """Widths of the hidden states on both sides of the projector."""

    llm: int
    vision: int


def sizes(folder: Path) -> Sizes:
    """Read the widths from the two models' config.json. Raises WeightsError ``missing``."""
    llm = _config(folder, LLM).get("hidden_size")
    vision = _config(folder, VISION)
    # openai/clip-vit-large-patch14-336 holds text and vision; the vision part lies one level down.
    width = vision.get("vision_config", vision).get("hidden_size")
    if not isinstance(llm, int) or not isinstance(width, int):
        raise WeightsError("missing", folder=folder, why="config.json has no hidden_size")
    return Sizes(llm, width)


def tensors(path: Path) -> dict[str, Any]:
    """The tensors of a ``.pth`` file, in which nothing but tensors is unpickled.

    Raises WeightsError ``missing`` and ``unsafe-projector``.
    """
    import torch

    try:
        # torch 2.1 hands a TorchScript archive to its interpreter even with weights_only.
        if zipfile.is_zipfile(path) and _is_torchscript(path):
            raise ValueError("it is a TorchScript archive, which holds code")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError("missing", folder=path.parent, why=f"no {path.name}") from None
    except Exception as error:  # torch raises RuntimeError, UnpicklingError and others here
        raise WeightsError("unsafe-projector", file=path, why=str(error)[:500]) from None
    state = state.get("state_dict", state)
    return dict(state)


def projector_state(folder: Path) -> dict[str, Any]:
    """The projector's tensors by their names in ProjectorModel (``model.0.weight``, ...).

    Nothing but tensors is unpickled. Raises WeightsError ``missing`` and ``unsafe-projector``.
    """
    state = tensors(folder / PROJECTOR)
    prefix = "projector."
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}


def check_projector(folder: Path) -> int:
    """Whether the projector fits the two models; how many linear layers it has.

    Raises WeightsError ``projector-shape``: another model's projector often has the same file name.
    """
    llm, vision = sizes(folder)
    shapes = {name: tuple(value.shape) for name, value in projector_state(folder).items()}
    depth = sum(name.endswith(".weight") for name in shapes)
    wanted: dict[str, tuple[int, ...]] = {}
    for index in range(max(depth, 1)):
        wanted[f"model.{2 * index}.weight"] = (llm, vision if index == 0 else llm)
        wanted[f"model.{2 * index}.bias"] = (llm,)
    if shapes != wanted:
        raise WeightsError("projector-shape", file=folder / PROJECTOR, found=shapes, wanted=wanted)
    return depth


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.split("/")[-1] == "constants.pkl" for name in archive.namelist())


def _config(folder: Path, part: str) -> dict[str, Any]:
    path = folder / part / "config.json"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError("missing", folder=folder, why=str(error)) from None
    if not isinstance(value, dict):
        raise WeightsError("missing", folder=folder, why=f"{path.name} is not an object")
    return value
