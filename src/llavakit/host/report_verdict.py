"""The first lines of a report: whether the run is what its recipe expects, and was reproduced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from llavakit import record
from llavakit.host import expecting, finding, references, reproducing, verdicts, words
from llavakit.host.verdicts import Verdict
from llavakit.recipe import Recipe
from llavakit.record_form import Run
from llavakit.workspace import Workspace

Tone = Literal["good", "bad", "open"]


@dataclass(frozen=True)
class Sentence:
    """``tone`` is how it is shown: ``open`` is whatever was not judged."""

    text: str
    tone: Tone


@dataclass(frozen=True)
class Neighbour:
    """A run that was made from this one's record, or that this one was made from (``original``).

    ``verdict`` is None where the original is not here.
    """

    run: str
    original: bool
    verdict: Verdict | None


def neighbours(run: Run, place: Workspace) -> list[Neighbour]:
    """Judge this run and its original, and the finished runs that were made from this one."""
    others = [found.run for found in finding.all_runs(place)]
    shipped = [record.load(path) for path in sorted(references.FOLDER.glob("*.json"))]
    made, origin = [], run.provenance.reproduces
    if origin is not None:
        known = (each for each in (*others, *shipped) if each.id == origin.id
                 and record.fingerprint(each) == origin.sha256)  # fmt: skip
        original = next(known, None)
        judged = _judge(original, run, place) if original and run.results.losses else None
        made.append(Neighbour(origin.id, True, judged))
    mine = record.fingerprint(run)
    for other in others:
        theirs = other.provenance.reproduces
        if theirs is not None and theirs.sha256 == mine and other.results.losses:
            made.append(Neighbour(other.id, False, _judge(run, other, place)))
    return made


def _judge(original: Run, again: Run, place: Workspace) -> Verdict:
    return verdicts.judge(original, again, references.of(original, place))


def sentences(
    run: Run, recipe: Recipe | None, around: Sequence[Neighbour], lang: str
) -> Iterator[Sentence]:
    """What expectations come to, then each reproduction, then what the run cannot show."""
    say = partial(words.text, lang=lang)
    if lacks := list(_lacks(run, lang)):
        yield Sentence(say("report.unfinished", missing=", ".join(lacks)), "bad")
    if recipe is None:
        yield Sentence(say("report.unknown-recipe"), "open")
    else:
        yield _expected(run, recipe, lang)
    for each in around:
        if each.verdict is None:
            yield Sentence(say("report.no-original", run=each.run), "open")
        else:
            key = "report.is-again" if each.original else "report.made-again"
            told = _told(each.verdict, lang)
            tone: Tone = "bad" if each.verdict.kind == "not" else "good"
            yield Sentence(say(key, run=each.run, verdict=told), tone)
    if not around:
        yield Sentence(say("report.never-again"), "open")
    parts = run.identity.recipe.get("weights")
    sources = {name: how.get("source") for name, how in parts.items() if isinstance(how, dict)
               } if isinstance(parts, dict) else {}  # fmt: skip
    drawn = sorted(name for name, source in sources.items() if source in ("drawn", "random"))
    if drawn:
        yield Sentence(say("report.drawn", parts=", ".join(drawn)), "open")


def _expected(run: Run, recipe: Recipe, lang: str) -> Sentence:
    found = list(expecting.expectations(recipe, run, lang))
    named = {state: [each.name for each in found if each.met is state]
             for state in (True, False, None)}  # fmt: skip
    met, names = len(named[True]), ", ".join(named[False] or named[None])
    if named[False]:
        return Sentence(words.text("report.missed", lang, names=names), "bad")
    if not met:
        return Sentence(words.text("report.not-judged", lang), "open")
    key, tone = ("report.partly", "open") if names else ("report.met", "good")
    said = words.text(key, lang, met=met, total=len(found), names=names)
    return Sentence(said, "open" if tone == "open" else "good")


def _lacks(run: Run, lang: str) -> Iterator[str]:
    """What a finished run has and this one has not."""
    if run.results.iterations is None:
        yield words.text("report.no-training", lang)
    if not run.results.answers:
        yield words.text("report.no-answers", lang)
    last = {stage.label: stage for stage in run.provenance.stages}
    for label, stage in last.items():
        if stage.outcome == "failed":
            yield words.text("report.failed", lang, label=label, error=stage.error or "-")


def _told(verdict: Verdict, lang: str) -> str:
    if verdict.kind != "not":
        return reproducing.sentence(verdict, lang)
    reasons = ", ".join(reproducing.say(reason, lang) for reason in verdict.reasons)
    return words.text("report.not-reproduced", lang, reasons=reasons)
