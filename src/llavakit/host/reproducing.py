"""`invoke reproduce RUN`: make a run again from its record alone, and hold it against that record.

The recipe, the seed and the hashes come from the record, the code from this clone. Weights and data
are had as the recipe says and must have the recorded bytes before anything is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from llavakit import recipe as recipes
from llavakit import record
from llavakit.errors import RecordError
from llavakit.host import (
    comparing,
    diffing,
    environment,
    finding,
    given,
    pins,
    recording,
    references,
    verdicts,
    words,
)
from llavakit.host.console import Screen, table
from llavakit.host.disk import disk_errors
from llavakit.host.pipeline import Pipeline
from llavakit.host.settings import KIT
from llavakit.host.verdicts import Reason, Verdict
from llavakit.recipe import Recipe
from llavakit.record_form import Origin, Run
from llavakit.workspace import Workspace

INPUTS = ("models", "data")
STAGES = (*INPUTS, "train", "convert-pretrained", "convert", "ask-before", "ask-after", "compare")
Open = Callable[[Recipe, Callable[[Path], bool]], Pipeline]
"""A pipeline of a recipe for a fresh run; told which interrupted one may be gone on with."""


def reproduce(
    place: Workspace, name: str, options: Mapping[str, Any], open_pipeline: Open, screen: Screen
) -> int:
    """Do it and show the verdict; 0 where the run was reproduced.

    Raises RecordError ``unfinished``, ``other-lock``, ``needs-input``, ``other-inputs``,
    ``not-reproduced``, and whatever a run can raise.
    """
    original = finding.find(place, name).run
    origin = Origin(id=original.id, sha256=record.fingerprint(original))
    pipeline = open_pipeline(recipe_of(original, options), partial(_is_of, origin))
    created, commit = original.created[:10], _commit(original)[:12]
    screen.say("reproduce", words.text("reproduce.from", screen.lang, run=original.id,
                                       created=created, commit=commit))  # fmt: skip
    with disk_errors(pipeline.run_dir):
        recording.reproduces(pipeline.plan, pipeline.workspace, origin)
    pipeline.bring_up_to_date(INPUTS)
    with disk_errors(pipeline.run_dir):  # of stages that were up to date, too
        recording.reproduces(pipeline.plan, pipeline.workspace, origin)
    check_inputs(original, pipeline, options, screen)
    pipeline.bring_up_to_date([label for label in STAGES if label in original.results.artefacts])
    again = record.load(pipeline.run_dir)
    verdict = verdicts.judge(original, again, references.of(original, place))
    _show(original, again, verdict, screen)
    if verdict.kind == "not":
        what = ", ".join(say(reason, screen.lang) for reason in verdict.reasons)
        raise RecordError("not-reproduced", what=what, run=name or original.id, other=again.id)
    return 0


def recipe_of(original: Run, options: Mapping[str, Any]) -> Recipe:
    """The record's recipe, with the user's own weights and data where those were a user's.

    Raises RecordError ``unfinished``, ``other-lock`` and ``needs-input``, and RecipeError.
    """
    if original.results.iterations is None or "train" not in original.results.artefacts:
        raise RecordError("unfinished", run=original.id)
    ours, theirs = environment.lock_sha256(), original.identity.lock
    if ours != theirs:
        raise RecordError("other-lock", run=original.id, ours=ours[:12], theirs=theirs[:12],
                          commit=_commit(original))  # fmt: skip
    recipe = recipes.parse(original.identity.recipe, origin=original.id)
    for part, name, option in of_users(recipe):
        if not options.get(part):
            raise RecordError("needs-input", run=original.id, part=part, named=name, option=option)
    recipe = given.apply(recipe, {name: value for name, value in options.items()
                                  if name in (*given.PARTS, "data")})  # fmt: skip
    if options.get("set"):
        recipe = recipes.overridden(recipe, options["set"])
    return recipe


def of_users(recipe: Recipe) -> Iterator[tuple[str, str, str]]:
    """What a record names without saying where it is: part, name, option."""
    for part in given.PARTS:
        if (path := getattr(getattr(recipe.weights, part), "path", None)) is not None:
            yield part, str(path), f"--{part}"
    folder = recipe.data.folder
    # /mnt/data is recorded as data, and the kit has such a folder.
    if folder is not None and not (KIT / folder / recipe.data.file).is_file():
        yield "data", folder, "--data"


def _is_of(origin: Origin, folder: Path) -> bool:
    """Whether a run that was interrupted is a reproduction of the same record."""
    body = record.read(folder)
    return body is not None and body["provenance"]["reproduces"] == origin.model_dump(mode="json")


def check_inputs(
    original: Run, pipeline: Pipeline, options: Mapping[str, Any], screen: Screen
) -> None:
    """Hash weights and data, and refuse other bytes before anything is trained on them.

    What is computed from the seed may have other last bits on another CPU: that is said. Raises
    RecordError ``other-inputs``.
    """
    again = record.load(pipeline.run_dir)
    differences = comparing.identities(original, again)
    asked_for = bool(options.get("set"))
    other = [each.name for each in differences if each.name.startswith(("weights ", "data "))]
    other = [] if asked_for else [name.partition(" ")[2] for name in other]
    other += pins.changed(pipeline.workspace.root, again, INPUTS, screen)
    if other:
        names = ", ".join(other[: diffing.NAMED])
        raise RecordError("other-inputs", names=names, run=original.id)
    drawn = [each.name.removeprefix("drawn ") for each in differences
             if each.name.startswith("drawn ")]  # fmt: skip
    if drawn and original.identity.seed == again.identity.seed:
        said = words.text("reproduce.drawn", screen.lang, names=", ".join(drawn))
        screen.say("weights", said)


def say(reason: Reason, lang: str) -> str:
    """A reason in words."""
    key = f"result.{reason.name}"
    name = words.text(key, lang) if key in words.TABLE else reason.name
    return words.text(f"verdict.{reason.key}", lang, name=name, count=reason.count)


def sentence(verdict: Verdict, lang: str) -> str:
    """The verdict in one plain line; empty for one that is an error."""
    if verdict.kind == "not":
        return ""
    return words.text(f"verdict.{verdict.kind}", lang, count=verdict.references)


def _show(original: Run, again: Run, verdict: Verdict, screen: Screen) -> None:
    lang = screen.lang
    shown: list[RenderableType] = list(
        diffing.tables(original, again, verdict.identity, verdict.results, lang)
    )
    if verdict.bands and verdict.kind != "bitwise":
        shown.append(band_table(verdict, lang))
    screen.result({"original": original.id, "again": again.id, **asdict(verdict)},
                  table=Group(*shown))  # fmt: skip
    around = [each.name for each in verdict.identity if not each.asked]
    if around and verdict.kind != "not":
        names = ", ".join(around)
        screen.say("verdict", words.text("verdict.surroundings", lang, names=names))
    if verdict.kind != "not":
        screen.say("verdict", sentence(verdict, lang))
        screen.say("", words.text("verdict.cannot-see", lang))


def band_table(verdict: Verdict, lang: str) -> Table:
    """The figures of the second run against the band of the references."""
    columns = [words.text("records.what", lang)]
    columns += [f"#{words.text(key, lang)}" for key in ("verdict.low", "verdict.high",
                                                        "verdict.seen")]  # fmt: skip
    rows = []
    for band in verdict.bands:
        value = verdict.figures.get(band.name)
        inside = value is not None and band.holds(value)
        rows.append(
            (
                words.text(f"result.{band.name}", lang),
                f"{band.low:.6g}", f"{band.high:.6g}", "-" if value is None else f"{value:.6g}",
                words.text("verdict.inside" if inside else "verdict.out", lang),
            )
        )  # fmt: skip
    title = words.text("verdict.band-title", lang, count=verdict.references)
    return table(title, (*columns, words.text("records.state", lang)), rows)


def _commit(run: Run) -> str:
    stages = run.provenance.stages
    return stages[-1].kit.commit if stages else "-"
