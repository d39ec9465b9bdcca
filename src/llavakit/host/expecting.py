"""`invoke expect [RUN]`: a run's results held against what its recipe expects.

Iterations exactly, memory and time within a tolerance, scores as the recipe's limits say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from llavakit import recipe as recipes
from llavakit.errors import StepError
from llavakit.host import finding, words
from llavakit.host.console import Screen, table
from llavakit.recipe import Recipe
from llavakit.record_form import Run
from llavakit.workspace import Workspace

MEMORY = 0.05
"""Above what is expected; the driver's own part differs between GPUs by some hundred MiB."""
TIME = 0.30
"""Above what is expected: other disks and processors, and power limits of one GPU model."""
OVER = 0.30
"""Above a recipe's ``needs.memory_gib``, which is a round figure."""


@dataclass(frozen=True)
class Expectation:
    """``met`` is None where the record does not say what came out, or nobody knows the GPU."""

    name: str
    expected: str
    seen: str
    met: bool | None


def expect(place: Workspace, name: str, screen: Screen) -> int:
    """Show it; 0 where nothing is missed. Raises StepError ``unexpected``, RecordError."""
    run = finding.find(place, name).run
    recipe = recipes.parse(run.identity.recipe, origin=run.id)
    found = list(expectations(recipe, run, screen.lang))
    lang = screen.lang
    columns = [words.text(f"expect.{key}", lang) for key in ("expected", "seen")]
    state = words.text("records.state", lang)
    rows = [(each.name, each.expected, each.seen, _state(each, lang)) for each in found]
    screen.result(
        {"run": run.id, "expectations": [asdict(each) for each in found]},
        table=table(words.text("expect.title", lang, run=run.id),
                    (words.text("records.what", lang), *columns, state), rows),
    )  # fmt: skip
    missed = [each for each in found if each.met is False]
    if missed:
        why = "\n".join(f"{each.name}: {each.expected}, {each.seen}" for each in missed)
        raise StepError("unexpected", recipe=recipe.name, why=why)
    return 0


def expectations(recipe: Recipe, run: Run, lang: str = "en") -> Iterator[Expectation]:
    """Everything that the recipe expects, and what this run has of it."""
    expected, seen = recipe.expected, run.results
    if expected.iterations is not None:
        yield _one("result.iterations", str(expected.iterations), seen.iterations,
                   seen.iterations == expected.iterations, lang)  # fmt: skip
    for side, limit, most in (
        ("before", expected.rouge_l_before_max, True),
        ("after", expected.rouge_l_after_min, False),
        ("swapped", expected.rouge_l_swapped_max, True),
    ):
        score = (seen.scores or {}).get(side, {}).get("rouge_l")
        if limit is not None:
            met = None if score is None else score <= limit if most else score >= limit
            sign = "<=" if most else ">="
            yield _one(f"result.rouge_l {side}", f"{sign} {limit:g}", score, met, lang)
    if expected.gpu_mib is not None:
        most_mib = round(expected.gpu_mib * (1 + MEMORY))
        peak = seen.peak_gpu_mib
        met = None if peak is None else peak <= most_mib
        yield _one("expect.gpu_mib", f"<= {most_mib}", peak, met, lang)
    if seen.peak_gpu_mib is None:
        most_mib = round(recipe.needs.memory_gib * 1024 * (1 + OVER))
        peak = seen.peak_host_mib
        met = None if peak is None else peak <= most_mib
        yield _one("expect.host_mib", f"<= {most_mib}", peak, met, lang)
    if expected.minutes:
        yield _time(expected.minutes, run, lang)


def _time(known: dict[str, float], run: Run, lang: str) -> Expectation:
    """Of the iterations alone, on the GPU that has the expectation's name as one word of its own:
    ``A100`` is in ``NVIDIA A100-SXM4-80GB``, and ``L20`` not in ``NVIDIA L200``.
    """
    names = [machine.gpu for machine in run.provenance.trained_on if machine.gpu]
    gpu = names[0] if names else "CPU"
    name = words.text("expect.minutes", lang, gpu=gpu)
    parts = re.split(r"[\s-]+", gpu)
    limit = next((value for key, value in known.items() if key in parts), None)
    per, count = run.results.seconds_per_iteration, run.results.iterations
    minutes = per * count / 60 if per is not None and count is not None else None
    if limit is None or minutes is None:
        listed = ", ".join(sorted(known))
        said = words.text("expect.other-gpu", lang, gpu=gpu, known=listed)
        return Expectation(name, said, "-" if minutes is None else f"{minutes:.1f}", None)
    most = limit * (1 + TIME)
    return Expectation(name, f"<= {most:.1f}", f"{minutes:.1f}", minutes <= most)


def _one(key: str, expected: str, seen: Any, met: bool | None, lang: str) -> Expectation:
    shown = "-" if seen is None else f"{seen:g}" if isinstance(seen, float) else str(seen)
    return Expectation(words.text(key, lang), expected, shown, met)


def _state(each: Expectation, lang: str) -> str:
    key = {True: "met", False: "missed", None: "unknown"}[each.met]
    return words.text(f"expect.{key}", lang)
