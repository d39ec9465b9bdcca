"""Weights that were made elsewhere: look at them, and take them in a form that runs no code.

Safetensors and small files are taken as links, so that 16 GB lie on the disk once; PyTorch's
``.bin`` files, which are pickles, are read without running them and written as safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llavakit.errors import WeightsError
from llavakit.locks import write_json
from llavakit.steps import weights

LLM_TYPES = ("llama",)
VISION_TYPES = ("clip", "clip_vision_model")
VISION_PREFIX = "vision_model."
"""Of the image tower's tensors; a whole CLIP holds a text tower too, which nobody here reads."""
INDEX = "model.safetensors.index.json"
Keep = Callable[[str], bool]
Put = Callable[[Path, Path], object]
NOT_TAKEN = (".bin", ".bin.index.json", ".py", ".pth", ".pt", "lock.json", ".journal.json",
             ".wrong")  # fmt: skip


def take_model(source: Path, target: Path, types: tuple[str, ...], *, keep: Keep, put: Put) -> None:
    """Make ``target`` a folder that Transformers loads, from the files of ``source``.

    ``keep`` says which tensors of a ``.bin`` file are wanted; ``put`` brings any other file in.
    Raises what :func:`check_model` raises, and WeightsError ``unsafe``.
    """
    check_model(source, types)
    target.mkdir()
    for path in taken(source):
        put(path, target / path.name)
    if not any(source.glob("*.safetensors")):
        _convert(source, target, keep)


def taken(source: Path) -> list[Path]:
    """The files of a model's folder that are used as they are: no pickle, no code."""
    names = sorted(path for path in source.iterdir() if path.is_file())
    return [path for path in names if not path.name.endswith(NOT_TAKEN)]


def check_model(folder: Path, types: tuple[str, ...]) -> None:
    """Whether ``folder`` holds a whole model of one of ``types``.

    Raises WeightsError: ``missing``, ``foreign``, ``code``, ``torn``.
    """
    config = weights.read_config(folder)
    found = str(config.get("model_type"))
    if found not in types:
        raise WeightsError("foreign", folder=folder, found=found, wanted=" / ".join(types))
    if "auto_map" in config:
        raise WeightsError("code", file=folder / "config.json", why=str(config["auto_map"]))
    safe = sorted(folder.glob("*.safetensors"))
    if not safe and not _pickles(folder):
        raise WeightsError("missing", folder=folder, why="no *.safetensors and no *.bin")
    for path in safe:
        _check_safetensors(path)
    _check_shards(folder)


def _pickles(folder: Path) -> list[Path]:
    return sorted(folder.glob("pytorch_model*.bin"))


def _check_safetensors(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            file.keys()
    except (SafetensorError, OSError) as error:
        raise WeightsError("torn", file=path, why=str(error)) from None


def _check_shards(folder: Path) -> None:
    """Every shard that an index names must be there."""
    for index in (*folder.glob("*.safetensors.index.json"), *folder.glob("*.bin.index.json")):
        if index.name.endswith(".bin.index.json") and any(folder.glob("*.safetensors")):
            continue
        try:
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise WeightsError("torn", file=index, why=str(error)) from None
        missing = sorted(str(name) for name in names if not (folder / str(name)).is_file())
        if missing:
            raise WeightsError("missing", folder=folder, why=f"no {', '.join(missing)}")


def _convert(source: Path, target: Path, keep: Callable[[str], bool]) -> None:
    """One safetensors file a pickle, and an index when there are several."""
    pickles = _pickles(source)
    where: dict[str, str] = {}
    for number, path in enumerate(pickles, start=1):
        name = "model.safetensors"
        if len(pickles) > 1:
            name = f"model-{number:05d}-of-{len(pickles):05d}.safetensors"
        state = {key: value for key, value in weights.tensors(path).items() if keep(key)}
        _save(state, target / name)
        where.update(dict.fromkeys(state, name))
    if len(pickles) > 1:
        write_json(target / INDEX, {"metadata": {}, "weight_map": where})


def _save(state: Mapping[str, Any], path: Path) -> None:
    from safetensors.torch import save_file

    # Tensors of a pickle may share memory or be views, which safetensors does not hold.
    plain = {name: value.clone().contiguous() for name, value in state.items()}
    save_file(plain, path, metadata={"format": "pt"})
