"""`--plan`: what would run and why, and the command line that does the same by hand."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from typing import Protocol

from llavakit.engines import docker as docker_engine
from llavakit.engines.base import Job
from llavakit.engines.local import LocalEngine
from llavakit.host import environment
from llavakit.host.console import Screen, table
from llavakit.host.pipeline import Pipeline
from llavakit.host.plan import todo


class Commands(Protocol):
    """The part of an engine that needs none to be there."""

    def command(self, job: Job) -> str:
        """A shell command line that does what the engine would do."""
        ...


def show(pipeline: Pipeline, targets: Iterable[str], screen: Screen) -> None:
    """Print the plan; runs nothing and writes nothing."""
    todos = todo(pipeline.plan, pipeline.workspace, targets)
    engine = _engine(pipeline)
    commands = {item.stage.label: engine.command(pipeline.job(item.stage)) for item in todos}
    body = [
        {
            "stage": item.stage.label,
            "action": item.action,
            "reason": item.reason,
            "key": item.stage.key,
            "command": commands[item.stage.label],
        }
        for item in todos
    ]
    rows = [(item.stage.label, item.action, item.reason) for item in todos]
    recipe = _recipe_line(pipeline)
    screen.result(
        {"run": pipeline.plan.run_id, "recipe_command": recipe, "stages": body},
        table=table(f"plan of {pipeline.plan.run_id}", ("stage", "action", "why"), rows),
    )
    if screen.json_output:
        return
    running = [item.stage.label for item in todos if item.action == "run"]
    if running:
        where = "environment of the local engine" if _is_local(pipeline) else "image"
        screen.result(None, text=f"The same by hand, with the {where}:")
        screen.result(None, text=f"\n# the resolved recipe, which every step reads\n{recipe}")
    for label in running:
        screen.result(None, text=f"\n# {label}\n{commands[label]}")


def _is_local(pipeline: Pipeline) -> bool:
    return pipeline.settings.engine == "local"


def _engine(pipeline: Pipeline) -> Commands:
    """What prints command lines: `docker run` unless the local engine was asked for."""
    if not _is_local(pipeline):
        return docker_engine.for_commands(pipeline.settings.image_tag)
    python = environment.local_folder(pipeline.settings) / "bin" / "python"
    return LocalEngine(python, environment.SOURCE, workspace=pipeline.workspace.root)


def _recipe_line(pipeline: Pipeline) -> str:
    folder = shlex.quote(str(pipeline.run_dir))
    content = shlex.quote(json.dumps(pipeline.plan.recipe.resolved(), ensure_ascii=False))
    return f"mkdir -p {folder} && printf '%s' {content} > {folder}/recipe.json"
