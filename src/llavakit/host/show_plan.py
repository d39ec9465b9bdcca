"""`--plan`: what would run and why, and the command line that does the same by hand."""

from __future__ import annotations

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
    screen.result(
        {"run": pipeline.plan.run_id, "stages": body},
        table=table(f"plan of {pipeline.plan.run_id}", ("stage", "action", "why"), rows),
    )
    if screen.json_output:
        return
    running = [item.stage.label for item in todos if item.action == "run"]
    if running:
        screen.result(None, text="The same by hand, with the image of `invoke build`:")
        recipe = pipeline.run_dir / "recipe.json"
        screen.result(None, text=f"\n# {recipe} holds the resolved recipe; a first run writes it")
    for label in running:
        screen.result(None, text=f"\n# {label}\n{commands[label]}")
