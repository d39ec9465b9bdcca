"""`invoke models --check`: what each source has to give, before anything is fetched."""

from __future__ import annotations

from functools import partial
from pathlib import PurePosixPath
from typing import Any

from llavakit import errors, locks
from llavakit.errors import Interrupted, KitError, SourceError, StepError
from llavakit.events import EventReader
from llavakit.host import amounts, results, words
from llavakit.host.console import Screen
from llavakit.host.disk import disk_errors
from llavakit.host.follow import follow
from llavakit.host.inputs import Input
from llavakit.host.pipeline import Pipeline
from llavakit.host.plan import Stage
from llavakit.phrases import phrase

FOLDER = PurePosixPath("cache", "sources")


def check(pipeline: Pipeline, screen: Screen) -> int:
    """Ask every source; 0 when each artefact can be had from one.

    Raises SourceError ``cannot-be-had`` otherwise, StepError when the job fails, Interrupted.
    """
    lang = screen.lang
    here = {each.name: _where(each, lang) for each in pipeline.plan.inputs if not each.download}
    if not pipeline.plan.downloads:
        screen.result({"sources": [], "here": here}, text=_text([], here, lang))
        screen.say("sources", words.text("check.none", lang))
        return 0
    artefacts = _ask(pipeline, screen)["artefacts"]
    body = [
        {"artefact": artefact["artefact"], "part": artefact["part"], **source}
        for artefact in artefacts
        for source in artefact["sources"]
    ]
    screen.result({"sources": body, "here": here}, text=_text(artefacts, here, lang))
    lacking = [each for each in artefacts if not _can_be_had(each)]
    for artefact in artefacts:
        for error in _errors(artefact) if artefact not in lacking else ():
            screen.say(artefact["part"], error.what(screen.lang))
    if lacking:
        names = ", ".join(artefact["artefact"] for artefact in lacking)
        causes = [error for artefact in lacking for error in _errors(artefact)]
        raise SourceError("cannot-be-had", artefacts=names, causes=causes)
    return 0


def _ask(pipeline: Pipeline, screen: Screen) -> dict[str, Any]:
    """Run the job; the content of its result."""
    root = pipeline.workspace.root
    folder = root / FOLDER
    recipe, out = FOLDER / "recipe.json", FOLDER / "sources.json"
    argv = ("-m", "llavakit.steps.check_sources", "--recipe", str(recipe), "--out", str(out))
    stage = Stage("check-sources", "check_sources", "", argv, out,
                  protects=("models", "data"), network=True)  # fmt: skip
    with pipeline.workspace.lock("invoke models --check", pipeline.say_waiting):
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            (root / out).unlink(missing_ok=True)
            locks.write_json(root / recipe, pipeline.plan.recipe.resolved())
        log, events = folder / "check.log", EventReader(folder)
        try:
            running = pipeline.engine().start(pipeline.job(stage))
            with screen.progress("check") as progress:
                outcome, output = follow(running, log, events, progress.show)
        except KeyboardInterrupt:
            raise Interrupted("interrupted", step="check") from None
    body = results.read_json(root / out)
    if isinstance(body, dict):
        return body
    tail = "\n".join(output.tail)
    error: KitError = output.error or StepError(
        "failed", step="check", log=log, why=tail,
        how=outcome.detail or phrase("ended.status", status=outcome.exit_code),
    )  # fmt: skip
    raise error


def _where(each: Input, lang: str) -> str:
    if each.mount is None:
        return words.text("where.drawn", lang)
    name = "where.here" if each.name == "data" else "where.yours"
    return words.text(name, lang, path=each.mount.source)


def _errors(artefact: dict[str, Any]) -> list[KitError]:
    """Why sources cannot give it."""
    found = (errors.from_wire(source.get("error") or "") for source in artefact["sources"])
    return [error for error in found if error is not None]


def _can_be_had(artefact: dict[str, Any]) -> bool:
    return any(source["state"] == "ok" for source in artefact["sources"])


def _text(artefacts: list[dict[str, Any]], here: dict[str, str], lang: str) -> str:
    """A line for each artefact, two for each of its sources."""
    lines = []
    for artefact in artefacts:
        lines.append(f"{artefact['part']}: {artefact['artefact']}")
        for source in artefact["sources"]:
            lines += [f"  {source['source']}", f"      {_state(source, lang)}"]
    return "\n".join([*lines, *(f"{part}: {where}" for part, where in here.items())])


def _state(source: dict[str, Any], lang: str) -> str:
    """``ok: 3 files, 1.7 GB, 45.1 MB/s, answers in 110 ms, at 1a2b3c4d``."""
    say, state = partial(words.text, lang=lang), source["state"]
    known = f"state.{state}" in words.TABLE  # the sentence stands below
    short = say(f"state.{state}") if known else state.rpartition(".")[2].replace("-", " ")
    facts = [
        say("check.files", count=source["files"]) if source["files"] else "",
        amounts.size(source["bytes"]) if source["bytes"] else "",
        f"{source['rate'] / 1e6:.1f} MB/s" if source["rate"] else "",
        say("check.answers", ms=source["ms"]) if source["ms"] else "",
        say("check.revision", revision=source["revision"][:8]) if source["revision"] else "",
    ]
    said = ", ".join(fact for fact in facts if fact)
    return f"{short}: {said}" if said else short
