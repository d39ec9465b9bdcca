"""The model card of a run, with its figures: of the merged model where there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from llavakit import card
from llavakit.host import report_content, report_markdown, words
from llavakit.host.report_content import Content, Say
from llavakit.recipe import Recipe
from llavakit.record_form import Run

Section = Callable[[Content, Say], list[str]]
FILE_NAME = card.FILE_NAME
LANG = "en"
"""Hubs show a card to everybody, and the same record gives the same bytes."""
METRICS = {"rouge_l": ("rouge", "ROUGE-L"), "exact": ("exact_match", "exact match")}
"""A score's type, as hubs know it, and its name."""
FIGURES = (report_markdown.figures, report_markdown.loss, report_markdown.questions)
PINS = (report_markdown.pins, report_markdown.reproduce)


def text(run: Run, recipe: Recipe, record: str, sha256: str) -> str:
    """The card. ``record`` is the name of the record's file, ``sha256`` its hash."""
    made = report_content.content(run, {}, (), record, sha256, LANG)
    say = partial(words.text, lang=LANG)
    beside = say("report.how", name=record)
    made = replace(made, how=tuple(
        say("export.how", name=record) if line == beside else line for line in made.how
    ))  # fmt: skip
    return card.text(
        recipe, run.id, merged="merge" in run.results.artefacts,
        figures=_sections(FIGURES, made, say), pins=_sections(PINS, made, say),
        results=results(run, recipe),
    )  # fmt: skip


def _sections(sections: Sequence[Section], made: Content, say: Say) -> str:
    return "\n\n".join("\n".join(section(made, say)) for section in sections)


def results(run: Run, recipe: Recipe) -> list[dict[str, Any]]:
    """For ``model-index``: the trained model's scores, where the data have references."""
    scores = (run.results.scores or {}).get("after", {})
    metrics = [
        {"type": kind, "name": name, "value": value}
        for key, (kind, name) in METRICS.items()
        if (value := scores.get(key)) is not None
    ]
    if not metrics:
        return []
    own = " (the training's own questions)" if recipe.ask.questions == "data" else ""
    return [
        {
            "task": {"type": "image-text-to-text"},
            "dataset": {"type": "custom", "name": f"data of the recipe {recipe.name}{own}"},
            "metrics": metrics,
        }
    ]
