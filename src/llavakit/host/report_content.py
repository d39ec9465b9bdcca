"""What a report says, as plain values in one language: the HTML and the Markdown show the same."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Literal

from llavakit import recipe as recipes
from llavakit.errors import RecipeError
from llavakit.host import expecting, report_chart, report_pins, report_verdict, words
from llavakit.host.report_chart import Chart
from llavakit.host.report_pictures import Picture
from llavakit.host.report_pins import Fact, Pin, StageRow
from llavakit.host.report_verdict import Neighbour, Sentence
from llavakit.recipe import Recipe
from llavakit.record_form import Answer, Run, Side

Say = Callable[..., str]
State = Literal["met", "missed", "unknown", ""]
LONGEST = 2000
"""Characters of one answer that are shown."""
MIB = 1024


@dataclass(frozen=True)
class Figure:
    """A row of the figures; ``state`` is empty where nothing is expected."""

    name: str
    seen: str
    expected: str = ""
    state: State = ""
    said: str = ""


@dataclass(frozen=True)
class Box:
    """An answer. ``scores`` is empty where the data have no reference."""

    title: str
    kind: Literal["before", "after", "swapped"]
    answer: str
    scores: str


@dataclass(frozen=True)
class Question:
    text: str
    references: tuple[str, ...]
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class Subject:
    """A picture and the questions about it."""

    picture: Picture
    why: str
    """Why it is not shown, in words."""
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Content:
    """A whole report."""

    run: str
    subtitle: str
    verdict: tuple[Sentence, ...]
    figures: tuple[Figure, ...]
    chart: Chart | None
    spark: str
    chart_text: str
    chart_notes: tuple[str, ...]
    subjects: tuple[Subject, ...]
    metric: str
    pins: tuple[Pin, ...]
    facts: tuple[Fact, ...]
    stages: tuple[StageRow, ...]
    how: tuple[str, ...]
    commands: str
    made_by: str


def content(
    run: Run, pictures: dict[str, Picture], around: Sequence[Neighbour], record: str, sha256: str,
    lang: str,
) -> Content:  # fmt: skip
    """Put a report together. ``record`` is the name of the record's file, ``sha256`` its hash;
    ``around`` are the runs that this one was made from, or that were made from it.
    """
    say = partial(words.text, lang=lang)
    recipe = _recipe(run)
    chart = report_chart.draw(run.results.losses)
    how, commands = _how(run, record, say)
    verdict = report_verdict.sentences(run, recipe, around, lang)
    name = str(run.identity.recipe.get("name", "-"))
    return Content(
        run=run.id,
        subtitle=say("report.subtitle", recipe=name, created=run.created.replace("T", " ")),
        verdict=tuple(sorted(verdict, key=lambda each: each.tone != "bad")),
        figures=tuple(_figures(run, recipe, say, lang)),
        chart=chart,
        spark=report_chart.sparkline(run.results.losses),
        chart_text=_chart_text(run, say),
        chart_notes=tuple(_chart_notes(chart, say)),
        subjects=tuple(_subjects(run, pictures, say)),
        metric=say("report.metric", name=_metric(run)) if run.results.metric else "",
        pins=tuple(report_pins.pins(run, record, sha256, say)),
        facts=tuple(report_pins.facts(run, say)),
        stages=tuple(report_pins.stages(run, say)),
        how=how,
        commands=commands,
        made_by=say("report.made-by", name=record),
    )


def _recipe(run: Run) -> Recipe | None:
    try:
        return recipes.parse(run.identity.recipe, origin=run.id)
    except RecipeError:
        return None


def _figures(run: Run, recipe: Recipe | None, say: Say, lang: str) -> Iterator[Figure]:
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


def _chart_text(run: Run, say: Say) -> str:
    losses = run.results.losses
    if not losses:
        return say("report.no-losses")
    return say("report.loss-alt", count=len(losses), first=losses[0], last=losses[-1])


def _chart_notes(chart: Chart | None, say: Say) -> Iterator[str]:
    if chart and chart.size > 1:
        yield say("report.bucketed", size=chart.size)
    if chart and chart.logarithmic:
        yield say("report.log")


def _subjects(run: Run, pictures: dict[str, Picture], say: Say) -> Iterator[Subject]:
    """The pictures in the order in which questions name them, each with its questions."""
    asked: dict[str, list[Answer]] = {}
    for answer in run.results.answers:
        asked.setdefault(answer.image, []).append(answer)
    for image, answers in asked.items():
        picture = pictures.get(image) or Picture(image, why="missing")
        why = say(f"report.picture.{picture.why}") if picture.why else ""
        yield Subject(picture, why, tuple(_question(answer, say) for answer in answers))


def _question(answer: Answer, say: Say) -> Question:
    boxes = [
        _box(say("report.before"), "before", answer.before, say),
        _box(say("report.after"), "after", answer.after, say),
    ]
    if answer.swapped is not None:
        other = PurePosixPath(answer.swapped_image or "?").name
        boxes.append(_box(say("report.swapped", image=other), "swapped", answer.swapped, say))
    return Question(answer.question, tuple(answer.references), tuple(boxes))


def _box(
    title: str, kind: Literal["before", "after", "swapped"], side: Side, say: Say
) -> Box:  # fmt: skip
    scores = []
    if side.rouge_l is not None:
        scores.append(f"ROUGE-L {side.rouge_l:.2f}")
    if side.exact is not None:
        scores.append(say("report.exact" if side.exact >= 1 else "report.inexact"))
    answer = side.answer.strip() or say("report.empty")
    cut = answer if len(answer) <= LONGEST else answer[: LONGEST - 1] + "…"
    return Box(title, kind, cut, ", ".join(scores))


def _metric(run: Run) -> str:
    metric = run.results.metric or {}
    return "; ".join(str(metric[key]) for key in ("name", "library", "tokenizer") if key in metric)


def _how(run: Run, record: str, say: Say) -> tuple[tuple[str, ...], str]:
    """What to say before the commands, and the commands; none for a run without weights."""
    if run.results.iterations is None or "train" not in run.results.artefacts:
        return (say("report.how-not"),), ""
    kit = run.provenance.stages[-1].kit if run.provenance.stages else None
    said = [say("report.how", name=record)]
    if kit and kit.dirty:
        said.append(say("report.how-dirty"))
    checkout = (
        [f"git checkout {shlex.quote(kit.commit)}"] if kit and kit.commit != "unknown" else []
    )
    options = report_pins.own_inputs(run)
    again = shlex.join([".venv/bin/invoke", "reproduce", record])
    return tuple(said), "\n".join([*checkout, "scripts/bootstrap", " ".join([again, *options])])
