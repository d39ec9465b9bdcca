"""Other sources than a recipe's own: ``--weights random``, ``--llm``, ``--projector``, ``--data``
and the like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llavakit import artefact
from llavakit import recipe as recipes
from llavakit.artefact import Artefact, HuggingFace, ModelScope
from llavakit.errors import ConfigurationError, DataError, RecipeError
from llavakit.locks import file_sha256
from llavakit.parts import DrawnProjector, Given
from llavakit.phrases import phrase
from llavakit.recipe import Recipe

PARTS = ("llm", "vision", "projector")
RANDOM = "random"
"""The one word that ``--weights`` takes."""
FILES = {
    "llm": ["*.json", "*.safetensors"],
    "vision": ["config.json", "preprocessor_config.json", "*model*.[bs]*"],
}
"""What is fetched of a repository that a command line names; the models step looks at it.

Every pattern must match something: the last means safetensors or PyTorch's ``.bin``.
"""


def apply(recipe: Recipe, options: Mapping[str, Any]) -> Recipe:
    """``recipe`` with the parts that the options name, from a folder, a file or a hub.

    Raises ConfigurationError ``bad-value`` for what is neither, RecipeError ``no-rehearsal``, and
    DataError ``no-folder``, ``no-file`` and ``other-bytes``.
    """
    if weights := str(options.get("weights") or ""):
        recipe = _rehearsal(recipe, weights)
    if folder := str(options.get("data") or ""):
        recipe = _own_data(recipe, folder)
    named = {part: str(options[part]) for part in PARTS if options.get(part)}
    if not named:
        return recipe
    raw = recipe.resolved()
    for part, where in named.items():
        path = Path(where).expanduser().absolute()
        if path.is_file() if part == "projector" else path.is_dir():
            raw["weights"][part] = Given(source="path", path=str(path)).model_dump(mode="json")
        elif part == "projector":
            raise ConfigurationError(
                "bad-value", key="--projector", value=where, allowed=phrase("allowed.file")
            )
        else:
            raw["weights"][part] = _remote(part, where, getattr(recipe.weights, part))
    return recipes.parse(raw, origin=" ".join(f"--{part} {named[part]}" for part in named))


def lacks_projector(recipe: Recipe, options: Mapping[str, Any]) -> bool:
    """Whether the options name real models and ``recipe``, which :func:`apply` made, has only a
    drawn projector to put between them.
    """
    named = options.get("llm") or options.get("vision")
    return bool(named) and isinstance(recipe.weights.projector, DrawnProjector)


def changes(options: Mapping[str, Any]) -> list[str]:
    """The options that make another experiment of a recipe; its own data elsewhere do not."""
    words = ["--weights random"] if options.get("weights") else []
    words += ["--ranks"] if options.get("ranks") else []
    return words + [f"--{part}" for part in PARTS if options.get(part)]


def _rehearsal(recipe: Recipe, weights: str) -> Recipe:
    if weights != RANDOM:
        raise ConfigurationError("bad-value", key="--weights", value=weights, allowed=RANDOM)
    if recipe.rehearsal is None:
        raise RecipeError("no-rehearsal", recipe=recipe.name)
    return recipe.model_copy(update={"weights": recipe.rehearsal, "rehearsal": None})


def _own_data(recipe: Recipe, where: str) -> Recipe:
    """The data from a folder of the user's; what the recipe knows of its download still holds."""
    folder = Path(where).expanduser().absolute()
    if not folder.is_dir():
        raise DataError("no-folder", folder=folder)
    known = recipe.data.download.sha256 if recipe.data.download else {}
    for name, wanted in known.items():
        path = folder / name
        if not path.is_file():
            raise DataError("no-file", file=name, folder=folder)
        found = file_sha256(path)
        if found != wanted:
            raise DataError("other-bytes", file=path, found=found[:12], wanted=wanted[:12])
    data = recipe.data.model_copy(update={"folder": str(folder), "download": None})
    return recipe.model_copy(update={"data": data})


def _remote(part: str, where: str, old: object) -> dict[str, Any]:
    """A repository as an artefact; one that the recipe knows keeps what the recipe knows of it."""
    source = artefact.from_text(where)
    base = old.model_dump(mode="json") if isinstance(old, Artefact) else {}
    known = _known(source, where, old)
    if known is not None:
        return {**base, "sources": [known.model_dump(mode="json")]}
    return {
        "source": "remote",
        "name": name_of(source.repository),
        "sources": [source.model_dump(mode="json")],
        "files": FILES[part],
        "licence": base.get("licence") if part == "llm" else None,
    }


def _known(
    source: ModelScope | HuggingFace, where: str, old: object
) -> ModelScope | HuggingFace | None:
    """The recipe's own source that is meant: without a typed revision the recipe's holds."""
    for each in old.sources if isinstance(old, Artefact) else ():
        if not isinstance(each, ModelScope | HuggingFace):
            continue
        same = (each.hub, each.repository) == (source.hub, source.repository)
        if same and ("@" not in where or each.revision == source.revision):
            return each
    return None


def name_of(repository: str) -> str:
    """An artefact's name for a repository: ``maker/Llama 3`` is ``llama-3``."""
    last = repository.rpartition("/")[2].lower()
    return re.sub(r"[^a-z0-9._-]+", "-", last).lstrip("._-")[:64] or "weights"
