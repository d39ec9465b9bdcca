"""A recipe: one YAML file that says what to reproduce.

Every value of the tutorial has a field here; ``configs/recipes/*.yaml`` fill them in. Unknown keys
are refused with the nearest known one, since a misspelt hyper-parameter that is ignored in silence
costs its author an hour.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from llavakit.artefact import Artefact
from llavakit.errors import RecipeError
from llavakit.parts import DrawnProjector as DrawnProjector
from llavakit.parts import Weights
from llavakit.phrases import phrase
from llavakit.schema import Part, PositiveFloat, PositiveInt, Probability, Sha256, Text, Texts
from llavakit.training import Train as Train

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")


class Repeated(Part):
    """The sha256 of the repeated conversations' file, known for one number of times."""

    times: PositiveInt
    sha256: Sha256


class Data(Part):
    """Conversations over pictures, in LLaVA's JSON format."""

    folder: Text | None = None
    """Holds ``file`` and its pictures; relative to the kit's root, or absolute."""
    download: Artefact | None = None
    """The same, from elsewhere."""
    file: Text
    repeat: PositiveInt
    """How many times the conversations are repeated, in order (the tutorial: 200)."""
    repeated: Repeated | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Data:
        if (self.folder is None) == (self.download is None):
            raise ValueError("data need either a folder or a download")
        return self


class Ask(Part):
    """The questions of the comparison and how they are answered (greedily)."""

    questions: Literal["data"] | Texts
    """``data``: the first question of every conversation, about its picture."""
    swapped: bool = False
    """Also ask about the next picture: shows whether the picture decides."""
    max_new_tokens: PositiveInt = 64
    quantization: Literal["nf4", "none"] = "none"
    """``nf4``: the language model answers in 4 bits, as it was trained; on a CPU it does not."""


class Expected(Part):
    """Results that the recipe's author saw."""

    iterations: PositiveInt | None = None
    rouge_l_before_max: Probability | None = None
    rouge_l_after_min: Probability | None = None
    rouge_l_swapped_max: Probability | None = None
    gpu_mib: PositiveInt | None = None
    """Peak on one GPU as nvidia-smi shows it, in MiB."""
    minutes: dict[str, PositiveFloat] = Field(default_factory=dict)
    """Of the training, by the GPU's name."""


class Needs(Part):
    """What a run takes, for the line that is shown before it starts. Measured, not guessed."""

    disk_gib: PositiveFloat
    """Of a run that trains, without the downloads (each artefact says its own ``gib``); without the
    checkpoints too, where ``checkpoint_gib`` is given.
    """
    checkpoint_gib: PositiveFloat | None = None
    """One checkpoint, with what the optimizer resumes from."""
    memory_gib: PositiveFloat
    minutes: PositiveFloat
    gpu_mib: PositiveInt | None = None
    """Free memory of one GPU while it trains, in MiB."""
    ask_gpu_mib: PositiveInt | None = None
    """The same while the model answers in 16 bits, as a merged one does in its check."""
    ask_nf4_gpu_mib: PositiveInt | None = None
    """The same with ``ask.quantization: nf4``."""


class Recipe(Part):
    """A whole recipe. ``resolved()`` is what goes into the record."""

    recipe: Literal[1]
    name: Annotated[str, Field(pattern=f"^{NAME_PATTERN.pattern}$")]
    summary: str
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    prompt_template: Literal["llama3_chat"]
    weights: Weights
    rehearsal: Weights | None = None
    """Weights of the same shapes that need no download: ``--weights random`` takes them."""
    data: Data
    train: Train
    ask: Ask
    expected: Expected = Expected()
    needs: Needs

    def resolved(self) -> dict[str, Any]:
        """Every value, defaults included, as JSON values."""
        return self.model_dump(mode="json")


def load(path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe from YAML (JSON is YAML too) and apply ``key.path=value`` overrides.

    ``extends: NAME`` takes what the recipe does not say from NAME.yaml beside it; null takes a
    value of that one away.

    Raises RecipeError: ``not-found``, ``not-yaml``, ``unknown-key`` (with the nearest known one),
    ``bad-value``, ``bad-override``.
    """
    raw = _read(path)
    for override in overrides:
        _apply(raw, override)
    return parse(raw, origin=str(path))


def overridden(recipe: Recipe, overrides: Iterable[str]) -> Recipe:
    """``recipe`` with overrides as :func:`load` takes them, and its errors."""
    raw = recipe.resolved()
    for override in overrides:
        _apply(raw, override)
    return parse(raw, origin=recipe.name)


def parse(raw: Mapping[str, Any], *, origin: str) -> Recipe:
    """Validate a recipe's values; ``origin`` names it in messages.

    Raises RecipeError ``unknown-key``, ``bad-value``, ``ranks-memory`` and ``ranks-zero2``.
    """
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        raise _explain(error, origin) from None
    _check_ranks(recipe)
    return recipe


def _check_ranks(recipe: Recipe) -> None:
    train = recipe.train
    if train.ranks > 1 and train.memory is not None:
        raise RecipeError("ranks-memory", recipe=recipe.name, ranks=train.ranks)
    if train.ranks > 1 and train.deepspeed == "none":
        raise RecipeError("ranks-zero2", recipe=recipe.name, ranks=train.ranks)


def known_keys() -> list[str]:
    """Every key that ``--set`` accepts, dotted."""
    return sorted(_leaves(Recipe.model_json_schema()))


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The values of a recipe's file, over those of the one that it extends."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError("not-found", recipe=path, why=str(error)) from None
    except (yaml.YAMLError, ValueError) as error:  # a date that is none is a ValueError
        raise RecipeError("not-yaml", recipe=path, why=str(error)) from None
    if not isinstance(raw, dict):
        raise RecipeError("not-yaml", recipe=path, why=phrase("why.no-mapping"))
    if "extends" not in raw:
        return raw
    name, below = str(raw.pop("extends")), (*above, path)
    if not NAME_PATTERN.fullmatch(name) or path.with_name(f"{name}.yaml") in below:
        why = f"{name!r} is not the name of another recipe beside it"
        raise RecipeError("bad-value", recipe=path, key="extends", why=why)
    return _merged(_read(path.with_name(f"{name}.yaml"), below), raw)


def _merged(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` on top of ``base``, mapping by mapping; null takes a value of ``base`` away."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(below, dict) and isinstance(value, Mapping):
            value = _merged(below, value)
        result[key] = value
    return {key: value for key, value in result.items() if key not in over or value is not None}


def _apply(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise RecipeError("bad-override", override=override)
    if key not in known_keys():
        raise RecipeError("unknown-key", key=key, nearest=_nearest(key))
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError("bad-override", override=override, why=str(error)) from None
    *parents, last = key.split(".")
    node = raw
    for parent in parents:
        child = node.get(parent)
        node[parent] = child = child if isinstance(child, dict) else {}
        node = child
    node[last] = _number(value)


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-3 as a string; people mean a number."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)
    return value


def _explain(error: ValidationError, origin: str) -> RecipeError:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return RecipeError("unknown-key", key=key, nearest=_nearest(key))
    detail = "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'recipe'}: {item['msg']}"
        for item in error.errors(include_url=False)[:5]
    )
    return RecipeError("bad-value", recipe=origin, key=key or "recipe", why=detail)


def _nearest(key: str) -> str:
    known = known_keys()
    last = key.rpartition(".")[2]
    by_leaf = [name for name in known if name.rpartition(".")[2] == last]
    close = by_leaf or difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return close[0]


def _leaves(schema: Mapping[str, Any]) -> Iterable[str]:
    definitions: Mapping[str, Any] = schema.get("$defs", {})

    def walk(node: Mapping[str, Any], prefix: str) -> Iterable[str]:
        for name, child in node.get("properties", {}).items():
            targets = [
                child,
                *child.get("anyOf", ()),
                *child.get("allOf", ()),
                *child.get("oneOf", ()),
            ]
            models = [
                definitions[target["$ref"].rpartition("/")[2]]
                for target in targets
                if "$ref" in target
            ]
            if not models:
                yield prefix + name
            for model in models:
                yield from walk(model, f"{prefix}{name}.")

    return walk(schema, "")
