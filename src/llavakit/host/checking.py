"""`invoke models --check`: what each source has to give, before anything is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from llavakit import errors, locks
from llavakit.errors import Interrupted, KitError, SourceError, StepError
from llavakit.events import EventReader
from llavakit.host import amounts, results
from llavakit.host.console import Screen, table
from llavakit.host.follow import follow
from llavakit.host.inputs import Input
from llavakit.host.pipeline import Pipeline, disk_errors
from llavakit.host.plan import Stage

FOLDER = PurePosixPath("cache", "sources")
STATES = {
    "ok": "ok",
    "other bytes": "other bytes",
    "source.unreachable": "does not answer",
    "source.gated": "permitted accounts only",
    "source.missing": "not there",
    "source.no-files": "has none of the files",
    "source.no-tool": "git or git-lfs is missing here",
}
"""What the step says of a source, in a few words; the sentence stands below the table."""
COLUMNS = ("artefact", "source", "state", "#files", "#size", "#MB/s", "#ms", "=revision")


def check(pipeline: Pipeline, screen: Screen) -> int:
    """Ask every source; 0 when each artefact can be had from one.

    Raises SourceError ``cannot-be-had`` otherwise, StepError when the job fails, Interrupted.
    """
    here = {each.name: _where(each) for each in pipeline.plan.inputs if not each.download}
    if not pipeline.plan.downloads:
        screen.result(
            {"sources": [], "here": here}, table=table("sources", COLUMNS[:2], here.items())
        )
        screen.say("sources", "nothing of this recipe comes from elsewhere")
        return 0
    artefacts = _ask(pipeline, screen)["artefacts"]
    rows = [row for artefact in artefacts for row in _rows(artefact)]
    rows += [(part, where, *[""] * 6) for part, where in here.items()]
    body = [
        {"artefact": artefact["artefact"], "part": artefact["part"], **source}
        for artefact in artefacts
        for source in artefact["sources"]
    ]
    screen.result({"sources": body, "here": here}, table=table("sources", COLUMNS, rows))
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
        "failed", step="check", how=outcome.detail or f"exit status {outcome.exit_code}",
        log=log, why=tail,
    )  # fmt: skip
    raise error


def _where(each: Input) -> str:
    if each.mount is None:
        return "drawn here"
    return f"{'here' if each.name == 'data' else 'yours'}: {each.mount.source}"


def _errors(artefact: dict[str, Any]) -> list[KitError]:
    """Why sources cannot give it."""
    found = (errors.from_wire(source.get("error") or "") for source in artefact["sources"])
    return [error for error in found if error is not None]


def _can_be_had(artefact: dict[str, Any]) -> bool:
    return any(source["state"] == "ok" for source in artefact["sources"])


def _rows(artefact: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    name = f"{artefact['part']}: {artefact['artefact']}"
    for source in artefact["sources"]:
        size, rate, wait = source["bytes"], source["rate"], source["ms"]
        yield (
            name,
            source["source"],
            STATES.get(source["state"]) or source["state"].rpartition(".")[2].replace("-", " "),
            str(source["files"] or ""),
            amounts.size(size) if size else "",
            f"{rate / 1e6:.1f}" if rate else "",
            f"{wait:.0f}" if wait else "",
            source["revision"][:12],
        )
        name = ""
