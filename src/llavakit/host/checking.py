"""`invoke models --check`: what each source has to give, before anything is fetched."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from llavakit import locks
from llavakit.errors import Interrupted, KitError, SourceError, StepError
from llavakit.events import EventReader
from llavakit.host import amounts, results
from llavakit.host.console import Screen, table
from llavakit.host.follow import follow
from llavakit.host.inputs import Input
from llavakit.host.pipeline import Pipeline, disk_errors
from llavakit.host.plan import Stage

FOLDER = PurePosixPath("cache", "sources")
COLUMNS = ("artefact", "source", "state", "#files", "#size", "#MB/s", "#ms", "=revision")


def check(pipeline: Pipeline, screen: Screen) -> int:
    """Ask every source; 0 when each artefact can be had from one.

    Raises SourceError ``cannot-be-had`` otherwise, StepError when the job fails, Interrupted.
    """
    fixed = [_fixed_row(each) for each in pipeline.plan.inputs if not each.download]
    if not pipeline.plan.downloads:
        screen.result(
            {"artefacts": [], "here": [row[:2] for row in fixed]},
            table=table("sources", COLUMNS[:2], [row[:2] for row in fixed]),
        )
        screen.say("sources", "nothing of this recipe comes from elsewhere")
        return 0
    body = _ask(pipeline, screen)
    rows = [row for artefact in body["artefacts"] for row in _rows(artefact)]
    screen.result(body, table=table("sources", COLUMNS, [*rows, *fixed]))
    lacking = [each["artefact"] for each in body["artefacts"] if not _can_be_had(each)]
    if lacking:
        raise SourceError("cannot-be-had", artefacts=", ".join(lacking))
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
        "failed", step="check", how=outcome.detail or f"exit status {outcome.exit_code}",
        log=log, why=tail,
    )  # fmt: skip
    raise error


def _fixed_row(each: Input) -> tuple[str, ...]:
    where = "drawn here" if each.mount is None else f"yours: {each.mount.source}"
    return each.name, where, "", "", "", "", "", ""


def _can_be_had(artefact: dict[str, Any]) -> bool:
    return any(source["state"] == "ok" for source in artefact["sources"])


def _rows(artefact: dict[str, Any]) -> Iterable[tuple[str, ...]]:
    for source in artefact["sources"]:
        size, rate, wait = source.get("bytes"), source.get("rate"), source.get("ms")
        yield (
            artefact["artefact"],
            source["source"],
            source["state"],
            str(source.get("files") or ""),
            amounts.size(size) if size else "",
            f"{rate / 1e6:.1f}" if rate else "",
            f"{wait:.0f}" if wait else "",
            (source.get("revision") or "")[:12],
        )
