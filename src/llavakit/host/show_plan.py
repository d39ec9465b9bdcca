"""`--plan`: what would run and why, and the command line that does the same by hand."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable

from llavakit.engines import docker as docker_engine
from llavakit.host.console import Screen, table
from llavakit.host.pipeline import Pipeline
from llavakit.host.plan import todo


def show(pipeline: Pipeline, targets: Iterable[str], screen: Screen) -> None:
    """Print the plan; runs nothing and writes nothing."""
    todos = todo(pipeline.plan, pipeline.workspace, targets)
    engine = docker_engine.for_commands(pipeline.settings.image_tag)
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
        screen.result(None, text="The same by hand, with the image of `invoke build`:")
        screen.result(None, text=f"\n# the resolved recipe, which every step reads\n{recipe}")
    for label in running:
        screen.result(None, text=f"\n# {label}\n{commands[label]}")


def _recipe_line(pipeline: Pipeline) -> str:
    folder = shlex.quote(str(pipeline.run_dir))
    content = shlex.quote(json.dumps(pipeline.plan.recipe.resolved(), ensure_ascii=False))
    return f"mkdir -p {folder} && printf '%s' {content} > {folder}/recipe.json"
