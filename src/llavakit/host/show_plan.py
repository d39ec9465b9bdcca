"""`--plan`: what would run and why, and the command line that does the same by hand."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Protocol

from llavakit.engines import docker as docker_engine
from llavakit.engines.base import Job
from llavakit.engines.local import LocalEngine
from llavakit.host import environment, words
from llavakit.host.console import Screen, table
from llavakit.host.pipeline import Pipeline
from llavakit.host.plan import todo
from llavakit.recipe import Recipe


class Commands(Protocol):
    """The part of an engine that needs none to be there."""

    def command(self, job: Job) -> str:
        """A shell command line that does what the engine would do."""
        ...


def show(pipeline: Pipeline, targets: Iterable[str], screen: Screen) -> None:
    """Print the plan; runs nothing and writes nothing."""
    todos = todo(pipeline.plan, pipeline.workspace, targets)
    engine = commands_of(pipeline)
    commands = {item.stage.label: engine.command(pipeline.job(item.stage)) for item in todos}
    body = [
        {
            "stage": item.stage.label,
            "action": item.action,
            "reason": item.why(),
            "key": item.stage.key,
            "command": commands[item.stage.label],
        }
        for item in todos
    ]
    say = partial(words.text, lang=screen.lang)
    rows = [(item.stage.label, say(f"action.{item.action}"), item.why(screen.lang))
            for item in todos]  # fmt: skip
    columns = [say(f"plan.{name}") for name in ("stage", "action", "why")]
    recipe = recipe_line(pipeline.plan.recipe, pipeline.run_dir)
    screen.result(
        {"run": pipeline.plan.run_id, "recipe_command": recipe, "stages": body},
        table=table(say("plan.title", run=pipeline.plan.run_id), columns, rows),
    )
    if screen.json_output:
        return
    running = [item.stage.label for item in todos if item.action == "run"]
    if running:
        screen.result(None, text=by_hand(pipeline, screen.lang))
        screen.result(None, text=f"\n# {say('plan.recipe')}\n{recipe}")
    for label in running:
        screen.result(None, text=f"\n# {label}\n{commands[label]}")


def by_hand(pipeline: Pipeline, lang: str) -> str:
    """The line above the command lines: what they do, and what they need."""
    where = words.text("plan.local" if _is_local(pipeline) else "plan.image", lang)
    return words.text("plan.by-hand", lang, where=where)


def _is_local(pipeline: Pipeline) -> bool:
    return pipeline.settings.engine == "local"


def commands_of(pipeline: Pipeline) -> Commands:
    """What prints command lines: `docker run` unless the local engine was asked for."""
    if not _is_local(pipeline):
        return docker_engine.for_commands(pipeline.settings.image_tag)
    python = environment.local_folder(pipeline.settings) / "bin" / "python"
    return LocalEngine(python, environment.SOURCE, workspace=pipeline.workspace.root)


def recipe_line(recipe: Recipe, folder: Path) -> str:
    """A shell line that writes the resolved recipe where a step reads it."""
    place = shlex.quote(str(folder))
    content = shlex.quote(json.dumps(recipe.resolved(), ensure_ascii=False))
    return f"mkdir -p {place} && printf '%s' {content} > {place}/recipe.json"
