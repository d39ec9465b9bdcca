"""A report's figures: what came out of a run, beside what its recipe expects of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from llavakit.host import expecting
from llavakit.recipe import Recipe
from llavakit.record_form import Run

Say = Callable[..., str]
State = Literal["met", "missed", "unknown", ""]
MIB = 1024


@dataclass(frozen=True)
class Figure:
    """A row of the figures; ``state`` is empty where nothing is expected."""

    name: str
    seen: str
    expected: str = ""
    state: State = ""
    said: str = ""


def figures(run: Run, recipe: Recipe | None, say: Say, lang: str) -> Iterator[Figure]:
    """What came out, beside what the recipe expects of it."""
    seen = run.results
    found = expecting.expectations(recipe, run, lang) if recipe else ()
    judged = {each.name: each for each in found}

    def row(key: str, value: str, name: str = "", figure: str = "") -> Figure:
        each = judged.pop(name, None) or judged.pop(say(key), None)
        if each is None:
            return Figure(say(key), value or "-", figure)
        state: State = {True: "met", False: "missed", None: "unknown"}[each.met]  # type: ignore[assignment]
        expected = say("report.limit", figure=figure, limit=each.expected) if figure else (
            each.expected)  # fmt: skip
        if figure and each.met is None:
            expected = figure
        return Figure(say(key), value or "-", expected, state, say(f"expect.{state}"))

    yield row("result.iterations", _text(seen.iterations))
    yield row("report.first-loss", f"{seen.losses[0]:.4g}" if seen.losses else "")
    yield row("report.last-loss", f"{seen.losses[-1]:.4g}" if seen.losses else "")
    yield row("report.per-iteration", _time(seen.seconds_per_iteration, say))
    per, count = seen.seconds_per_iteration, seen.iterations
    whole = per * count if per is not None and count is not None else None
    minutes = recipe.expected.minutes if recipe else {}
    known = ", ".join(say("report.minutes-on", gpu=gpu, value=value)
                      for gpu, value in sorted(minutes.items()))  # fmt: skip
    gpus = [machine.gpu for machine in run.provenance.trained_on if machine.gpu]
    gpu_name = say("expect.minutes", gpu=gpus[0] if gpus else "CPU")
    yield row("report.training", _time(whole, say), gpu_name, known)
    stages = [each for each in run.provenance.stages if each.label == "train" and each.seconds]
    if stages:
        yield row("report.train-stage", _time(sum(each.seconds or 0 for each in stages), say))
    tutorial = recipe.expected.gpu_mib if recipe else None
    gpu, host = say("expect.gpu_mib"), say("expect.host_mib")
    yield row("report.gpu", _mib(seen.peak_gpu_mib), gpu, _mib(tutorial))
    needed = round(recipe.needs.memory_gib * MIB) if recipe else None
    yield row("report.host", _mib(seen.peak_host_mib), host, _mib(needed))
    for side in ("before", "after", "swapped"):
        score = (seen.scores or {}).get(side, {}).get("rouge_l")
        if score is not None:
            yield row(f"result.rouge_l {side}", f"{score:.3f}")
    for name, each in judged.items():
        yield Figure(name, each.seen, each.expected, "unknown" if each.met is None else
                     "met" if each.met else "missed", "")  # fmt: skip


def _time(seconds: float | None, say: Say) -> str:
    if seconds is None:
        return ""
    if seconds < 120:
        return say("report.seconds", value=seconds)
    return say("report.minutes", value=seconds / 60)


def _mib(value: int | None) -> str:
    return "" if value is None else f"{value} MiB"


def _text(value: object) -> str:
    return "" if value is None else str(value)
