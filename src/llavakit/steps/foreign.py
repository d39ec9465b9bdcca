"""Weights that were made elsewhere: look at them, and take them in a form that runs no code.

Safetensors and small files are taken as links, so that 16 GB lie on the disk once; PyTorch's
``.bin`` files, which are pickles, are read without running them and written as safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from llavakit.errors import WeightsError
from llavakit.locks import write_json
from llavakit.phrases import phrase
from llavakit.steps import weights

LLM_TYPES = ("llama",)
VISION_TYPES = ("clip", "clip_vision_model")
VISION_PREFIX = "vision_model."
"""Of the image tower's tensors; a whole CLIP holds a text tower too, which nobody here reads."""
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
"""With the one above, what Transformers 4.40.1 looks for before any pickle."""
PICKLE = "pytorch_model.bin"
PICKLE_INDEX = "pytorch_model.bin.index.json"
ELSEWHERE = ("auto_map", "configuration_files")
"""Keys that send Transformers to Python beside the weights, or to another config file."""
Keep = Callable[[str], bool]
Put = Callable[[Path, Path], object]
NOT_TAKEN = (".bin", ".bin.index.json", ".py", ".pth", ".pt", ".pkl", "lock.json",
             ".journal.json", ".wrong")  # fmt: skip
SAFE = (".safetensors", ".safetensors.index.json")


def take_model(source: Path, target: Path, types: tuple[str, ...], *, keep: Keep, put: Put) -> None:
    """Make ``target`` a folder that Transformers loads, from the files of ``source``.

    ``keep`` says which tensors of a ``.bin`` file are wanted; ``put`` brings any other file in.
    Raises what :func:`check_model` raises, and WeightsError ``unsafe``.
    """
    check_model(source, types)
    target.mkdir()
    for path in taken(source):
        put(path, target / path.name)
    if not is_safe(source):
        _convert(source, target, keep)


def is_safe(folder: Path) -> bool:
    """Whether Transformers 4.40.1 takes safetensors from ``folder``, whatever else lies there.

    Only these two names count: beside any other, such as an adapter's, it reads the pickles.
    """
    return (folder / WEIGHTS).is_file() or (folder / INDEX).is_file()


def taken(source: Path) -> list[Path]:
    """The files of a model's folder that are used as they are: no pickle, no code.

    Where pickles are converted, no safetensors either: those are not the model's.
    """
    others = NOT_TAKEN if is_safe(source) else (*NOT_TAKEN, *SAFE)
    names = sorted(path for path in source.iterdir() if path.is_file())
    return [path for path in names if not path.name.endswith(others)]


def check_model(folder: Path, types: tuple[str, ...]) -> None:
    """Whether ``folder`` holds a whole model of one of ``types``.

    Raises WeightsError: ``missing``, ``foreign``, ``code``, ``torn``.
    """
    config = weights.read_config(folder)
    found = str(config.get("model_type"))
    if found not in types:
        raise WeightsError("foreign", folder=folder, found=found, wanted=" / ".join(types))
    for path in sorted(folder.glob("*config*.json")):
        _check_config(path)
    if not is_safe(folder):
        if not _pickles(folder):
            there = ", ".join(sorted(path.name for path in folder.iterdir()))
            wanted = f"{WEIGHTS}, pytorch_model*.bin"
            why = phrase("why.lacks-weights", wanted=wanted, found=there)
            raise WeightsError("missing", folder=folder, why=why)
        return
    shards = (shard for index in folder.glob(f"*{SAFE[1]}") for shard in _shards(index, SAFE[0]))
    for path in sorted({*folder.glob(f"*{SAFE[0]}"), *shards}):
        _check_safetensors(path)


def _check_config(path: Path) -> None:
    """Refuse a config that names code; in one that is no JSON nobody finds a name."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for key in ELSEWHERE:
        if isinstance(config, dict) and key in config:
            raise WeightsError("code", file=path, why=f"{key}: {config[key]}")


def _pickles(folder: Path) -> list[Path]:
    """Those that Transformers would read, in its order; without an index, all there are."""
    if (folder / PICKLE).is_file():
        return [folder / PICKLE]
    if (folder / PICKLE_INDEX).is_file():
        return _shards(folder / PICKLE_INDEX, ".bin")
    return sorted(folder.glob("pytorch_model*.bin"))


def _check_safetensors(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            file.keys()
    except (SafetensorError, OSError) as error:
        raise WeightsError("torn", file=path, why=str(error)) from None


def _shards(index: Path, suffix: str) -> list[Path]:
    """The files that an index names: beside it, and of its kind, since their names alone decide
    how Transformers reads them. Raises WeightsError ``torn`` and ``missing``.
    """
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise WeightsError("torn", file=index, why=str(error)) from None
    folder = index.parent
    for name in names:
        if not (isinstance(name, str) and _is_plain(name) and name.endswith(suffix)):
            raise WeightsError(
                "torn",
                file=index,
                why=phrase("why.names-other", name=repr(name), wanted=f"*{suffix}"),
            )
    missing = sorted(name for name in names if not (folder / name).is_file())
    if missing:
        raise WeightsError(
            "missing", folder=folder, why=phrase("why.lacks", names=", ".join(missing))
        )
    if not names:
        raise WeightsError("torn", file=index, why=phrase("why.names-nothing"))
    return [folder / name for name in sorted(names)]


def _is_plain(name: str) -> bool:
    return PurePosixPath(name).name == name and "\\" not in name


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
