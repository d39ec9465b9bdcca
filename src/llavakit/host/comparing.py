"""What differs between two runs: first in what they are, then in what came out.

Nothing here is shown or read from disk: two records go in, two lists come out. The commands
``diff`` and ``reproduce`` show them, and so can a report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from llavakit import recipe as recipes
from llavakit.errors import RecipeError
from llavakit.record_form import Answer, Identity, Results, Run

NOT_COMPARED = ("summary", "expected", "needs", "name", "rehearsal", "seed")
"""Parts of a recipe that say nothing about what is computed; the seed has its own place."""
CIRCUMSTANCES = ("base", "python", "steps", "template")
"""Parts of an identity that are the surroundings of an experiment, not what it asks."""
PLACES = ("folder", "download", "repeated")
"""Where data were had from, and what was known of them before."""
WEIGHTS = (".safetensors", "_weights.pth")
MADE = ("train", "convert")
"""The stages whose weights must be equal bit by bit."""
Json = Any


@dataclass(frozen=True)
class Difference:
    """One part of the identity: ``name`` is dotted; None stands for what one run lacks."""

    name: str
    one: Json
    other: Json

    @property
    def asked(self) -> bool:
        """Whether another experiment was asked for, rather than the same elsewhere."""
        return self.name not in CIRCUMSTANCES and not self.name.startswith("drawn ")


@dataclass(frozen=True)
class Figure:
    """One result. ``detail`` says in figures how the two differ (``first``, ``most``, ...)."""

    name: str
    one: Json
    other: Json
    equal: bool
    detail: Mapping[str, Json]

    @property
    def in_both(self) -> bool:
        return self.one is not None and self.other is not None


def identities(one: Run, other: Run) -> list[Difference]:
    """The parts of the identities that differ, the seed first."""
    mine, theirs = flat(one.identity), flat(other.identity)
    names = {**mine, **theirs}
    return [
        Difference(name, mine.get(name), theirs.get(name))
        for name in names
        if mine.get(name) != theirs.get(name)
    ]


def flat(identity: Identity) -> dict[str, Json]:
    """The identity as it is compared: every value by its dotted name.

    Weights and data count by their bytes, not by where they were had from. ``drawn NAME`` is a file
    that was computed from the seed: on another CPU it can come out with other last bits.
    """
    recipe = {key: value for key, value in _resolved(identity.recipe).items()
              if key not in NOT_COMPARED}  # fmt: skip
    parts = recipe.get("weights") or {}
    drawn = {part for part, how in parts.items() if _is_drawn(how)}
    recipe["weights"] = {part: parts[part] for part in drawn}
    recipe["data"] = {key: value for key, value in (recipe.get("data") or {}).items()
                      if key not in PLACES}  # fmt: skip
    simple = {name: getattr(identity, name) for name in ("seed", "lock", "world_size")}
    around = {name: getattr(identity, name) for name in CIRCUMSTANCES}
    files = {
        f"{'drawn' if name.partition('/')[0].partition('.')[0] in drawn else 'weights'} {name}": sha
        for name, sha in identity.weights.items()
    }
    data = {f"data {name}": sha for name, sha in identity.data.items()}
    return {**simple, **_leaves(recipe, "recipe"), **files, **data, **around}


def _resolved(recipe: dict[str, Json]) -> dict[str, Json]:
    """With the keys that an older record's recipe lacks: their defaults hold."""
    try:
        return recipes.parse(recipe, origin="record").resolved()
    except RecipeError:
        return dict(recipe)


def results(one: Run, other: Run) -> list[Figure]:
    """The results, those of the training first; what neither run has is left out."""
    mine, theirs = one.results, other.results
    figures = [
        _plain("iterations", mine.iterations, theirs.iterations),
        _series("losses", mine.losses, theirs.losses),
        _series("learning rates", mine.learning_rates, theirs.learning_rates),
        *(_hashes(f"weights {stage}", weights(one, stage), weights(other, stage))
          for stage in MADE),
        *(_answers(side, mine.answers, theirs.answers) for side in ("before", "after", "swapped")),
        *_scores(mine, theirs),
    ]  # fmt: skip
    return [figure for figure in figures if figure.one is not None or figure.other is not None]


def weights(run: Run, stage: str) -> dict[str, str]:
    """sha256 of the weights that a stage of the run made, by name inside the run's folder."""
    return {name: sha for name, sha in inside(run, stage).items() if name.endswith(WEIGHTS)}


def inside(run: Run, stage: str) -> dict[str, str]:
    """sha256 of a stage's files by their names inside the run's folder."""
    folder = PurePosixPath("runs", run.id)
    found = {}
    for name, sha in run.results.artefacts.get(stage, {}).items():
        path = PurePosixPath(name)
        key = path.relative_to(folder) if path.is_relative_to(folder) else path
        found[str(key)] = sha
    return found


def _plain(name: str, one: Json, other: Json) -> Figure:
    return Figure(name, one, other, one == other, {})


def _series(name: str, one: list[float], other: list[float]) -> Figure:
    """``first``: the first iteration that differs, from 1; ``most``: the largest difference."""
    pairs = list(zip(one, other, strict=False))
    apart = [number for number, (a, b) in enumerate(pairs, 1) if a != b]
    detail = {
        "first": apart[0] if apart else None,
        "most": max((abs(a - b) for a, b in pairs), default=None),
    }
    last = one[-1] if one else None, other[-1] if other else None
    return Figure(name, *last, one == other, detail)


def _hashes(name: str, one: Mapping[str, str], other: Mapping[str, str]) -> Figure:
    """``differ``: the names of files that are not in both with the same bytes."""
    differ = sorted(key for key in {**one, **other} if one.get(key) != other.get(key))
    return Figure(name, len(one) or None, len(other) or None, not differ, {"differ": differ})


def _answers(side: str, one: list[Answer], other: list[Answer]) -> Figure:
    """``differ``: how many of the questions in both have other answers."""
    mine, theirs = _texts(side, one), _texts(side, other)
    both = mine.keys() & theirs.keys()
    differ = sum(mine[key] != theirs[key] for key in both)
    equal = mine == theirs
    return Figure(f"answers {side}", len(mine) or None, len(theirs) or None, equal,
                  {"differ": differ, "both": len(both)})  # fmt: skip


def _texts(side: str, answers: list[Answer]) -> dict[tuple[str, str], str]:
    sides = {(row.image, row.question): getattr(row, side) for row in answers}
    return {key: value.answer for key, value in sides.items() if value is not None}


def _scores(one: Results, other: Results) -> list[Figure]:
    mine, theirs = one.scores or {}, other.scores or {}
    return [
        _plain(f"{name} {side}", mine.get(side, {}).get(name), theirs.get(side, {}).get(name))
        for side in ("before", "after", "swapped")
        for name in ("rouge_l", "exact")
    ]


def _is_drawn(how: Json) -> bool:
    return isinstance(how, Mapping) and how.get("source") in ("drawn", "random")


def _leaves(value: Json, name: str) -> dict[str, Json]:
    if not isinstance(value, Mapping):
        return {name: value}
    found: dict[str, Json] = {}
    for key in sorted(value):
        found |= _leaves(value[key], f"{name}.{key}")
    return found
