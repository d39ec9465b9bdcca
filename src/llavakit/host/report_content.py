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
from llavakit.host import report_chart, report_figures, report_pins, report_verdict, words
from llavakit.host.report_chart import Chart
from llavakit.host.report_figures import Figure
from llavakit.host.report_pictures import Picture
from llavakit.host.report_pins import Fact, Pin, StageRow
from llavakit.host.report_verdict import Neighbour, Sentence
from llavakit.recipe import Recipe
from llavakit.record_form import Answer, Run, Side

Say = Callable[..., str]
LONGEST = 2000
"""Characters of one answer that are shown."""


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
        figures=tuple(report_figures.figures(run, recipe, say, lang)),
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
