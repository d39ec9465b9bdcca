"""The folder ``models/NAME``: where its parts lie, and whether they fit each other."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import tarfile
import threading
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from llavakit.errors import WeightsError
from llavakit.phrases import phrase
from llavakit.steps import inert

LLM = "llm"
VISION = "vision"
PROJECTOR = "projector.pth"
PREFIX = "projector."
"""Of the projector's tensors in XTuner's checkpoints."""


class Sizes(NamedTuple):
    """Widths of the hidden states on both sides of the projector."""

    llm: int
    vision: int


def sizes(folder: Path) -> Sizes:
    """Read the widths from the two models' config.json. Raises WeightsError ``missing``."""
    llm = read_config(folder / LLM).get("hidden_size")
    vision = read_config(folder / VISION)
    # openai/clip-vit-large-patch14-336 holds text and vision; the vision part lies one level down.
    width = vision.get("vision_config", vision).get("hidden_size")
    if not isinstance(llm, int) or not isinstance(width, int):
        raise WeightsError(
            "missing", folder=folder, why=phrase("why.lacks", names="hidden_size (config.json)")
        )
    return Sizes(llm, width)


def read_ahead(folder: Path) -> None:
    """Let the kernel read the models of ``folder`` while this process imports its libraries."""

    def ask() -> None:
        for path in sorted(folder.glob("*/*.safetensors")):
            with contextlib.suppress(OSError), path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)

    threading.Thread(target=ask, daemon=True).start()


def tensors(path: Path) -> dict[str, Any]:
    """The tensors of a ``.pth``, ``.bin`` or ``.safetensors`` file; nothing else is unpickled.

    Raises WeightsError ``missing`` and ``unsafe``.
    """
    try:
        state = _load(path)
        state = state.get("state_dict", state)
        return {name: value for name, value in state.items() if hasattr(value, "dtype")}
    except FileNotFoundError:
        raise WeightsError("missing", folder=path.parent, why=f"no {path.name}") from None
    except Exception as error:  # torch raises RuntimeError, UnpicklingError and others here
        raise WeightsError("unsafe", file=path, why=_why(error)) from None


def _why(error: Exception) -> str:
    """What was wrong with a file, without torch's advice to unpickle it all the same."""
    said = str(error)
    if "weights_only" not in said:
        return said[:500]
    refused = re.search(r"[Uu]nsupported class (?:<class ')?([\w.]+)", said)
    return "it holds more than tensors" + (f": {refused[1]}" if refused else "")


def _load(path: Path) -> Any:
    import torch
    from safetensors.torch import load_file

    # torch unpacks those of its first versions, links and all, before it looks at what they hold.
    if tarfile.is_tarfile(path):
        raise ValueError("it is a tar archive, which is unpacked to be read")
    if path.suffix == ".safetensors":
        return load_file(path)
    is_zip = zipfile.is_zipfile(path)
    # torch 2.1 hands a TorchScript archive to its interpreter even with weights_only.
    if is_zip and _is_torchscript(path):
        raise ValueError("it is a TorchScript archive, which holds code")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        if not is_zip:
            raise
        return inert.load(path)


def projector_state(folder: Path) -> dict[str, Any]:
    """The projector's tensors by their names in ProjectorModel (``model.0.weight``, ...).

    Nothing but tensors is unpickled. Raises WeightsError ``missing`` and ``unsafe``.
    """
    state = tensors(folder / PROJECTOR)
    return {name[len(PREFIX) :]: value for name, value in state.items() if name.startswith(PREFIX)}


def check_projector(folder: Path, named: Path | None = None) -> int:
    """Whether the projector fits the two models; how many linear layers it has.

    ``named`` is what the user calls the projector's file.

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
        raise WeightsError(
            "projector-shape",
            file=named or folder / PROJECTOR, found=_said(shapes), wanted=_said(wanted),
        )  # fmt: skip
    return depth


def _said(shapes: dict[str, tuple[int, ...]]) -> str:
    """The shapes of the matrices in one line; their biases follow from them."""
    matrices = {name: shape for name, shape in shapes.items() if not name.endswith(".bias")}
    return ", ".join(f"{name} {list(shape)}" for name, shape in sorted(matrices.items())) or "none"


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.split("/")[-1] == "constants.pkl" for name in archive.namelist())


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a model's folder. Raises WeightsError ``missing``."""
    path = folder / "config.json"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError("missing", folder=folder, why=str(error)) from None
    if not isinstance(value, dict):
        raise WeightsError("missing", folder=folder, why=phrase("why.no-object", name=path.name))
    return value
