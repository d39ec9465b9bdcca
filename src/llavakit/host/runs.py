"""`invoke runs`: the runs of a workspace."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from llavakit import record, workspace
from llavakit.host import bench_report, driver, results, told, words
from llavakit.host.console import Screen, table
from llavakit.host.driver import Driver
from llavakit.locks import StepLock
from llavakit.workspace import Workspace

COLUMNS = {"run": "=", "state": "=", "since": "=", "count": "#", "score": "#", "where": "="}


def pick(
    place: Workspace,
    name: str,
    key: str,
    *,
    fresh: bool,
    goes_on: Callable[[Path], bool] = lambda folder: True,
) -> str:
    """The run that ``name`` means: the newest of that recipe, or with ``fresh`` one more.

    A fresh run that was interrupted is gone on with, if ``goes_on`` does not refuse its folder.
    ``key`` is the key of the recipe's training.
    """
    try:
        found = list(place.runs.glob(f"{name}*"))
        newest = max(filter(None, map(_number(name), found)), default=1)
        current = name if newest == 1 else f"{name}-{newest}"
        finished = StepLock(place.runs / current / "train" / "lock.json").check(key).fresh
        other = finished or ((place.runs / current).exists() and not goes_on(place.runs / current))
    except PermissionError:  # doctor says so, and whoever writes there is refused
        return name
    return f"{name}-{newest + 1}" if fresh and other else current


def is_of(run_id: str, name: str) -> bool:
    """Whether a run is one of those that :func:`pick` chooses from."""
    return run_id.startswith(name) and _number(name)(Path(run_id)) > 0


def _number(name: str) -> Callable[[Path], int]:
    """1 for the folder NAME itself, N for NAME-N, 0 for any other."""

    def number(folder: Path) -> int:
        rest = folder.name.removeprefix(name)
        return 1 if not rest else int(rest[1:]) if re.fullmatch(r"-[1-9]\d*", rest) else 0

    return number


def report(place: Workspace, screen: Screen) -> int:
    """List the runs, the newest last."""
    found = sorted(
        (describe(folder) for folder in place.runs.glob("*") if folder.is_dir()),
        key=lambda run: (run["created"] or run["since"], run["id"]),
    )
    if not found and not screen.json_output:
        screen.result(None, text=words.text("runs.none", screen.lang, folder=place.runs))
        return 0
    columns = [mark + words.text(f"runs.{name}", screen.lang) for name, mark in COLUMNS.items()]
    rows = [_row(run, screen.lang) for run in found]
    title = words.text("runs.title", screen.lang, folder=place.runs)
    screen.result(found, table=table(title, columns, rows))
    for run in found:
        if run["state"] == "waiting":
            text = words.text("follow.waits", screen.lang, who=run["waits_for"])
            screen.say(run["id"], f" {text}")
    return 0


def _row(run: dict[str, Any], lang: str) -> tuple[str, ...]:
    scores = [_score(run, name) for name in ("before", "after")]
    where = ", ".join([*run["engines"], *(f"GPU {index}" for index in run["gpus"])])
    count, total = run["iterations"], run["total"]
    return (
        run["id"],
        words.text(f"runs.{run['state']}", lang),
        _local(run["since"]),
        "" if count is None else f"{count}/{total}" if total else str(count),
        " > ".join(scores) if all(scores) else "",
        where,
    )


def describe(folder: Path) -> dict[str, Any]:
    """What is known about a run, from its record, its driver and the folder itself."""
    if (folder / bench_report.JSON).exists():
        return _bench(folder)
    kept = record.read(folder) or {}
    found = kept.get("results", {})
    stages = kept.get("provenance", {}).get("stages", [])
    seen = driver.read(folder)
    state = _state(folder, stages, seen)
    present = seen if seen and state in driver.PRESENT else None
    count, total = _iterations(folder, found)
    last = stages[-1] if stages else {}
    engines = sorted({stage["engine"] for stage in stages if stage["engine"]})
    gpus = sorted({gpu["index"] for stage in stages for gpu in stage["gpus"]})
    return {
        "id": folder.name,
        "state": state,
        "stage": present.stage if present else last.get("label", ""),
        "since": present.since if present else last.get("started") or kept.get("created", ""),
        "created": kept.get("created", ""),
        "task": seen.task if seen else "",
        "driver": seen.words() if present and seen and driver.is_driven(folder) else None,
        "waits_for": present.waits_for if present else "",
        "error": last.get("error") or (seen.failure.id if seen and seen.failure else None),
        "recipe": kept.get("identity", {}).get("recipe", {}).get("name") or _recipe_name(folder),
        "seed": kept.get("identity", {}).get("seed"),
        "iterations": count,
        "total": total,
        "scores": found.get("scores"),
        "engines": [present.engine] if present and present.engine else engines,
        "gpus": present.gpus if present and present.gpus else gpus,
    }


def _iterations(folder: Path, results: dict[str, Any]) -> tuple[int | None, int | None]:
    """How far the training came, and how far it goes."""
    if (done := results.get("iterations")) is not None:
        return done, done
    seen = [event for event in told.read(folder) if event.kind == "iteration"]
    return (int(seen[-1].fields["n"]), int(seen[-1].fields["of"])) if seen else (None, None)


def _bench(folder: Path) -> dict[str, Any]:
    """A bench trains nothing to its end; what it saw is in its own files."""
    found = results.read_json(folder / bench_report.JSON)
    kept = found if isinstance(found, dict) else {}
    engine = (kept.get("engine") or {}).get("name")
    made = {
        "id": folder.name,
        "state": "running" if workspace.is_busy(folder) else "measured",
        "since": kept.get("created", ""),
        "created": kept.get("created", ""),
        "recipe": ", ".join(dict.fromkeys(row["recipe"] for row in kept.get("rows", ()))),
        "engines": [engine] if engine else [],
        "gpus": [],
        "waits_for": "",
        "stage": "",
        "task": "bench",
    }
    unknown = ("driver", "error", "seed", "iterations", "total", "scores")
    return {**made, **dict.fromkeys(unknown)}


def _state(folder: Path, stages: list[dict[str, Any]], seen: Driver | None) -> str:
    """``running``, ``waiting``, ``finished``, ``failed``, ``interrupted``; ``begun``: no more."""
    if driver.is_driven(folder):
        return seen.state if seen and seen.state in driver.PRESENT else "running"
    if workspace.is_busy(folder):
        return "running"  # nobody drives it, its step goes on
    if seen is not None:
        return "interrupted" if seen.state in driver.PRESENT else seen.state
    last = stages[-1] if stages else None
    if last is None:
        return "begun"
    if last["outcome"] == "failed" and last["error"] != "step.interrupted":
        return "failed"
    return "finished" if last["outcome"] == "done" else "interrupted"


def _local(time: str) -> str:
    """A UTC time on the reader's clock: month, day, hour, minute."""
    if not time:
        return ""
    return datetime.fromtimestamp(record.epoch(time)).strftime("%m-%d %H:%M")


def _recipe_name(folder: Path) -> str:
    try:
        return str(json.loads((folder / "recipe.json").read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _score(run: dict[str, Any], name: str) -> str:
    scores = run["scores"] or {}
    score = scores.get(name, {}).get("rouge_l")
    return "" if score is None else f"{score:.3f}"
