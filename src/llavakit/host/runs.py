"""`invoke runs`: the runs of a workspace."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llavakit import record, workspace
from llavakit.host import bench_report, results
from llavakit.host.console import Screen, table
from llavakit.locks import StepLock
from llavakit.workspace import Workspace


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
        key=lambda run: (run["created"], run["id"]),
    )
    rows = [
        (
            run["id"],
            run["state"],
            "" if run["iterations"] is None else str(run["iterations"]),
            _score(run, "before"),
            _score(run, "after"),
            ", ".join(run["engines"]),
            run["created"][5:16].replace("T", " "),
        )
        for run in found
    ]
    columns = ("=run", "=state", "#iter.", "#before", "#after", "=engine", "begun")
    if not found and not screen.json_output:
        screen.result(None, text=f"No runs in {place.runs} yet; `invoke demo` makes one.")
        return 0
    screen.result(found, table=table(f"runs in {place.runs}", columns, rows))
    return 0


def describe(folder: Path) -> dict[str, Any]:
    """What is known about a run, from its record and the folder itself."""
    if (folder / bench_report.JSON).exists():
        return _bench(folder)
    kept = record.read(folder) or {}
    results = kept.get("results", {})
    stages = kept.get("provenance", {}).get("stages", [])
    return {
        "id": folder.name,
        "state": _state(folder, results, stages),
        "created": kept.get("created", ""),
        "recipe": kept.get("identity", {}).get("recipe", {}).get("name") or _recipe_name(folder),
        "seed": kept.get("identity", {}).get("seed"),
        "iterations": results.get("iterations"),
        "scores": results.get("scores"),
        "engines": sorted({stage["engine"] for stage in stages if stage["engine"]}),
    }


def _bench(folder: Path) -> dict[str, Any]:
    """A bench trains nothing to its end; what it saw is in its own files."""
    found = results.read_json(folder / bench_report.JSON)
    kept = found if isinstance(found, dict) else {}
    engine = (kept.get("engine") or {}).get("name")
    return {
        "id": folder.name,
        "state": "running" if workspace.is_busy(folder) else "measured",
        "created": kept.get("created", ""),
        "recipe": ", ".join(dict.fromkeys(row["recipe"] for row in kept.get("rows", ()))),
        "seed": None,
        "iterations": None,
        "scores": None,
        "engines": [engine] if engine else [],
    }


def _state(folder: Path, results: dict[str, Any], stages: list[dict[str, Any]]) -> str:
    if workspace.is_busy(folder):
        return "running"
    if results.get("scores"):
        return "compared"
    if stages and stages[-1].get("error"):
        return f"failed in {stages[-1]['label']}"
    return "trained" if results.get("iterations") else "begun"


def _recipe_name(folder: Path) -> str:
    try:
        return str(json.loads((folder / "recipe.json").read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _score(run: dict[str, Any], name: str) -> str:
    scores = run["scores"] or {}
    score = scores.get(name, {}).get("rouge_l")
    return "" if score is None else f"{score:.3f}"
