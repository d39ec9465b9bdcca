"""Recipes whose parts come from elsewhere, for the host's side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from llavakit import recipe as recipes
from llavakit.host.settings import KIT
from llavakit.recipe import Recipe

TINY = KIT / "configs" / "recipes" / "tiny.yaml"
HUB = {"hub": "modelscope", "repository": "maker/llama"}
LLM: dict[str, Any] = {
    "source": "remote",
    "name": "llama",
    "sources": [HUB],
    "files": ["*.json", "*.safetensors"],
    "licence": {"name": "LLAMA LICENCE", "address": "https://llama.invalid/licence"},
    "gib": 0.5,
}
VISION: dict[str, Any] = {
    **LLM, "name": "clip", "files": ["config.json", "m.bin"], "licence": None, "gib": 0.2,
}  # fmt: skip
PROJECTOR: dict[str, Any] = {
    **VISION, "name": "projector", "files": ["projector.pth"], "gib": 0.1,
}  # fmt: skip
DATA: dict[str, Any] = {
    "download": {"name": "words", "sources": [HUB], "files": ["words.json", "*.png"], "gib": 0.01},
    "file": "words.json",
    "repeat": 2,
}


def remote(*parts: str, llm: dict[str, Any] | None = None, **needs: Any) -> Recipe:
    """``tiny`` with these parts (all of the weights by default) from elsewhere; ``llm`` changes
    what is said of the language model.
    """
    raw = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    raw["needs"].update(needs)
    known = {"llm": {**LLM, **(llm or {})}, "vision": VISION, "projector": PROJECTOR}
    for part in parts or known:
        if part == "data":
            raw["data"] = DATA
        else:
            raw["weights"][part] = known[part]
    return recipes.parse(raw, origin="test")


def given(folder: Path, *parts: str) -> Recipe:
    """``tiny`` with these parts of the user's own, in ``folder``."""
    raw = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    for part in parts or ("llm", "vision", "projector"):
        place = folder / (f"{part}.pth" if part == "projector" else part)
        if part == "projector":
            place.write_bytes(b"tensors")
        else:
            place.mkdir(parents=True, exist_ok=True)
            (place / "config.json").write_text("{}")
            (place / "model.safetensors").write_bytes(part.encode())
        raw["weights"][part] = {"source": "path", "path": str(place)}
    return recipes.parse(raw, origin="test")
