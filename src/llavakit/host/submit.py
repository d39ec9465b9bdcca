"""`invoke submit --to slurm|kubernetes|skypilot`: the plan as what those engines run.

It writes files and says what to type: handing in, waiting and killing are the engines' own affair.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from llavakit.errors import ConfigurationError
from llavakit.host import (
    batch,
    environment,
    preflight,
    submit_checks,
    submit_kubernetes,
    submit_skypilot,
    submit_slurm,
    words,
)
from llavakit.host.batch import Batch
from llavakit.host.console import Screen
from llavakit.host.disk import disk_errors
from llavakit.host.pipeline import Pipeline
from llavakit.host.settings import Settings
from llavakit.host.submit_files import HandIn, Rendered
from llavakit.locks import write_atomic
from llavakit.recipe import Recipe

FOLDER = "submit"
SLURM, KUBERNETES, SKYPILOT = "slurm", "kubernetes", "skypilot"
ENGINES = (SLURM, KUBERNETES, SKYPILOT)
NAME = r"[\w./:-]+?(:[\w.-]+|@sha256:[0-9a-f]{64})"
"""An image with its tag or its digest."""
TARGETS = ("train", "convert", "compare", "merge")
"""What --task may be; the tasks of these names bring the same up to date."""


def submit(
    open_pipeline: Callable[[Settings], Pipeline],
    settings: Settings,
    targets: Mapping[str, tuple[str, ...]],
    options: Mapping[str, Any],
    screen: Screen,
) -> int:
    """Render, check, write, and say how to hand in. Raises ConfigurationError."""
    engine, task = str(options.get("to") or ""), str(options.get("task") or "train")
    _one_of("--to", engine, ENGINES)
    _one_of("--task", task, TARGETS)
    runtime, image = _runtime(engine, settings, options), _image(engine, settings, options)
    pipeline = open_pipeline(settings)
    gpus = _gpus(settings, pipeline.plan.recipe)
    pipeline.settings = settings.model_copy(update={"gpus": gpus})
    shared = engine == SLURM
    made = batch.make(pipeline, targets[task], shared=shared, image=image)
    if not made.works:
        screen.tell("submit", "submit.nothing", run=made.run_id)
        screen.result({"to": engine, "run": made.run_id, "files": {}, "commands": []})
        return 0
    out = str(options.get("out") or "")
    folder = Path(out).expanduser().absolute() if out else pipeline.run_dir / FOLDER / engine
    if shared:
        _check_shared(made, pipeline, runtime)
    rendered = _render(engine, made, pipeline, runtime, folder)
    for name, text in rendered.files.items():
        if batch.leaked(text):
            raise ConfigurationError("secret-in-file", file=name)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in rendered.files.items():
            write_atomic(folder / name, text)
    _tell(engine, made, folder, rendered, runtime, screen)
    return 0


def _render(
    engine: str, made: Batch, pipeline: Pipeline, runtime: str, folder: Path
) -> Rendered:  # fmt: skip
    if engine == SLURM:
        return submit_slurm.render(made, pipeline, runtime, folder)
    if engine == KUBERNETES:
        return submit_kubernetes.render(made)
    return submit_skypilot.render(made)


def _tell(
    engine: str, made: Batch, folder: Path, rendered: Rendered, runtime: str, screen: Screen
) -> None:
    files = [folder / name for name in rendered.files]
    for file in files:
        screen.say("submit", str(file))
    checked = submit_checks.check(engine, files)
    if checked.by:
        screen.tell("verified", "submit.checked", by=checked.by)
    elif checked.refused is None:
        screen.tell("verified", "submit.unchecked", tool=checked.tool)
    if runtime != "local" and _is_local_name(made.image):
        screen.tell("image", "submit.no-registry", image=made.image)
    steps = rendered.hand_in(folder)
    body = {
        "to": engine,
        "run": made.run_id,
        "stages": [work.stage.label for work in made.works],
        "files": {file.name: str(file) for file in files},
        "checked_by": checked.by or None,
        "commands": [step.command for step in steps],
    }
    screen.result(body, text=_shown(steps, partial(words.text, lang=screen.lang)))
    if checked.refused is not None:
        raise checked.refused


def _shown(steps: list[HandIn], say: Callable[[str], str]) -> str:
    return "\n".join(f"# {say(step.key)}\n{step.command}" for step in steps)


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        shown = value or "''"
        raise ConfigurationError("bad-value", key=key, value=shown, allowed=", ".join(allowed))


def _runtime(engine: str, settings: Settings, options: Mapping[str, Any]) -> str:
    """What runs the jobs on a node: the local engine, or containers."""
    chosen = str(options.get("runtime") or "")
    if engine != SLURM:
        if chosen or settings.engine == "local":
            raise ConfigurationError("containers-only", to=engine)
        return "container"
    if chosen:
        _one_of("--runtime", chosen, submit_slurm.RUNTIMES)
        return chosen
    return "pyxis" if settings.engine == "docker" else "local"


def _image(engine: str, settings: Settings, options: Mapping[str, Any]) -> str:
    image = str(options.get("image") or settings.image_tag)
    if engine == SLURM and submit_slurm.is_archive(image):
        return image
    if not re.fullmatch(NAME, image):
        raise ConfigurationError("bad-image", image=image)
    return image


def _is_local_name(image: str) -> bool:
    """Whether nobody but this host's own Docker knows an image by this name."""
    first, slash, _ = image.partition("/")
    return not submit_slurm.is_archive(image) and not (slash and ("." in first or ":" in first))


def _gpus(settings: Settings, recipe: Recipe) -> str:
    """``all`` (that the scheduler gives) or ``none``. Nobody knows a node's numbers beforehand."""
    if settings.gpus == "auto":
        return "all" if preflight.needs_gpu(recipe) else "none"
    _one_of("--gpus", settings.gpus, ("auto", "all", "none"))
    return settings.gpus


def _check_shared(made: Batch, pipeline: Pipeline, runtime: str) -> None:
    """What the nodes cannot make themselves is to be here: they may have no network.

    Raises ConfigurationError ``fetch-first`` and ``no-environment``.
    """
    fetched = [work.stage.label.removeprefix("fetch-") for work in made.works
               if work.stage.network]  # fmt: skip
    if fetched:
        raise ConfigurationError(
            "fetch-first", parts=", ".join(fetched), recipe=pipeline.settings.recipe
        )
    if runtime == "local" and not environment.has_local(pipeline.settings):
        folder = environment.local_folder(pipeline.settings)
        raise ConfigurationError("no-environment", folder=folder, recipe=pipeline.settings.recipe)
