"""What came out of a run, read from its artefacts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rich.table import Table

from llavakit.host import told, words
from llavakit.host.console import table
from llavakit.host.plan import Plan
from llavakit.locks import StepLock
from llavakit.workspace import Workspace


def collect(plan: Plan, workspace: Workspace) -> dict[str, Any]:
    """Artefact hashes by stage, iterations, losses and scores: whatever is there by now."""
    found: dict[str, Any] = {"artefacts": {}}
    for stage in plan.stages:
        lock = StepLock(workspace.root / stage.lock)
        if lock.check(stage.key).fresh:
            folder = stage.lock.parent
            hashes = {**lock.hashes(), **_linked(lock)}
            found["artefacts"][stage.label] = {
                str(folder / name): value for name, value in sorted(hashes.items())
            }
    run = workspace.root / plan.run
    history = read_json(run / "train" / "history.json")
    if "train" in found["artefacts"] and isinstance(history, list) and history:
        found["iterations"] = len(history)
        found["losses"] = [entry["loss"] for entry in history]
        found["learning_rates"] = [entry["lr"] for entry in history]
        found |= told.training(told.read(run), len(history))
    comparison = read_json(run / "comparison.json")
    if "compare" in found["artefacts"] and isinstance(comparison, dict):
        found["scores"] = comparison["means"]
        found["metric"] = comparison["metric"]
        found["answers"] = comparison["rows"]
    return found


def _linked(lock: StepLock) -> dict[str, str]:
    """sha256 of what stays in a folder of the user's, by the names that steps read it under."""
    return dict((lock.read() or {}).get("facts", {}).get("linked", {}))


def comparison(plan: Plan, workspace: Workspace) -> dict[str, Any]:
    """The content of the run's comparison.json."""
    content = read_json(workspace.root / plan.run / "comparison.json")
    assert isinstance(content, dict)  # noqa: S101 - its lock was checked
    return content


def comparison_table(content: Mapping[str, Any], run: str, lang: str = "en") -> Table:
    """The answers before and after with their scores; a common question stands in the title."""
    say = partial(words.text, lang=lang)
    title = say("answers.compared", run=run)
    questions = {row["question"] for row in content["rows"]}
    if len(questions) == 1:
        title += f"\n“{questions.pop()}”"
    score = "#" + say("answers.score")
    columns = (say("answers.picture"), say("answers.before"), score, say("answers.after"), score)
    made = table(title, columns, ())
    made.caption = say("answers.caption")
    made.caption_justify = "left"
    for row in content["rows"]:
        picture = Path(row["image"]).name
        made.add_row(
            f"{picture}\n{row['question']}" if questions else picture,
            shorten(row["before"]["answer"], 48),
            _score(row["before"]),
            shorten(row["after"]["answer"]),
            _score(row["after"]),
            end_section=row is content["rows"][-1],
        )
    means = content["means"]
    made.add_row(say("answers.mean"), "", _score(means["before"]), "", _score(means["after"]))
    if "swapped" in means:
        made.add_row(say("answers.swapped"), "", "", "", _score(means["swapped"]))
    return made


def answers(plan: Plan, workspace: Workspace, lang: str = "en") -> tuple[Any, Table]:
    """All answers of the pretrained and the fine-tuned model, as JSON and as a table."""
    sides = {}
    for name, label in (("before", "ask-before"), ("after", "ask-after")):
        lock = plan.stage(label).lock
        sides[name] = read_json(workspace.root / lock.with_name(lock.name.replace(".lock", "")))[
            "answers"
        ]
    rows = [
        (Path(old["image"]).name, old["question"], shorten(old["answer"]), shorten(new["answer"]))
        for old, new in zip(sides["before"], sides["after"], strict=True)
    ]
    say = partial(words.text, lang=lang)
    columns = [say(f"answers.{name}") for name in ("picture", "question", "before", "after")]
    made = table(say("answers.title", run=plan.run_id), columns, rows)
    return sides, made


def verdict(
    plan: Plan, workspace: Workspace, content: Mapping[str, Any], lang: str = "en"
) -> list[tuple[str, bool]]:
    """The recipe's expectations, each with whether it was met."""
    expected, means = plan.recipe.expected, content["means"]
    checks: list[tuple[str, bool]] = []
    if expected.iterations is not None:
        seen = collect(plan, workspace).get("iterations")
        said = words.text("answers.iterations", lang, seen=seen, planned=expected.iterations)
        checks.append((said, seen == expected.iterations))
    for name, limit, most in (
        ("before", expected.rouge_l_before_max, True),
        ("after", expected.rouge_l_after_min, False),
        ("swapped", expected.rouge_l_swapped_max, True),
    ):
        if limit is None or name not in means:
            continue
        score = means[name]["rouge_l"]
        if score is None:
            continue
        sign = "<=" if most else ">="
        met = score <= limit if most else score >= limit
        shown = {"seen": f"{score:.3f}", "limit": f"{sign} {limit:g}"}
        checks.append((words.text(f"answers.rouge {name}", lang, **shown), met))
    return checks


def _score(side: Mapping[str, Any]) -> str:
    """A score, or nothing for a question of which the data have no answer."""
    return "" if side["rouge_l"] is None else f"{side['rouge_l']:.2f}"


def shorten(answer: str, most: int = 72) -> str:
    """A model that was not trained can answer anything: halves of characters, control codes."""
    shown = "".join(char if char.isprintable() and char != "\ufffd" else " " for char in answer)
    shown = " ".join(shown.split())
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def read_json(path: Path) -> Any:
    """The content of a JSON file; None when there is none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
