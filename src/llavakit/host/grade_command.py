"""`invoke grade DIR --assignment NAME`: from a command line to a class's files."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llavakit import recipe as recipes
from llavakit.engines.base import Engine, Mount
from llavakit.errors import AssignmentError, EngineError
from llavakit.host import (
    assignment,
    class_files,
    environment,
    grade_setup,
    handed,
    nvidia,
    provenance,
)
from llavakit.host.assignment import Assignment
from llavakit.host.console import Screen
from llavakit.host.grade_form import NOT_GRADED, Grade
from llavakit.host.grade_jobs import Bench
from llavakit.host.grade_setup import NEEDED, Setup
from llavakit.host.grading import Class
from llavakit.host.jobs import labels as job_labels
from llavakit.host.pipeline import MEMORY_SHARE, Pipeline
from llavakit.host.plan import weights_mounts
from llavakit.host.settings import KIT, Settings
from llavakit.recipe import Recipe

OpenPipeline = Callable[[Recipe], Pipeline]


def grade(options: Mapping[str, Any], open_pipeline: OpenPipeline, screen: Screen) -> int:
    """Grade a class; 0 when every submission has a verdict.

    Raises AssignmentError, EngineError ``guarantee-missing`` where the engine has no isolation,
    and what making the base model ready raises.
    """
    asked = assignment.load(str(options.get("assignment") or "tiny"))
    if student := str(options.get("student") or ""):
        screen.result(
            {"student": student, "seed": asked.seed(student)}, text=f"{asked.seed(student)}"
        )
        return 0
    if not options.get("folder"):
        raise AssignmentError("no-class")
    folder = Path(str(options["folder"])).expanduser().absolute()
    if not folder.exists():
        raise AssignmentError("no-submissions", folder=folder)
    recipe = recipes.load(KIT / "configs" / "recipes" / f"{asked.recipe}.yaml", asked.set)
    pipeline = open_pipeline(recipe)
    check_guarantees(pipeline.settings)
    engine = pipeline.engine()
    pipeline.check_gpu([pipeline.plan.stage("ask-after")])
    setup = grade_setup.prepare(asked, pipeline)
    place = pipeline.workspace
    with place.lock("invoke grade", pipeline.say_waiting):
        made = _class(setup, pipeline, engine, handed.submissions(folder, setup.bytes))
        grades, seconds = _grade(made, screen)
    out = options.get("out")
    target = Path(str(out)).expanduser().absolute() if out else _target(place.root, asked, folder)
    files = class_files.write(target, asked.title, grades, asked.alike, screen.lang)
    return _tell(grades, asked, files, seconds, screen)


def check_guarantees(settings: Settings) -> None:
    """Before anything is made. Raises EngineError ``guarantee-missing``: a stranger's files go into
    no engine without.
    """
    engine, guarantees = environment.guarantees(settings)
    if missing := NEEDED - guarantees:
        names = ", ".join(sorted(each.value for each in missing))
        raise EngineError("guarantee-missing", engine=engine, missing=names)


def _class(setup: Setup, pipeline: Pipeline, engine: Engine, found: list[handed.Handed]) -> Class:
    place, plan = pipeline.workspace, pipeline.plan
    labels = {**job_labels(place), "grading": setup.key[:16]}
    for running in engine.find(labels):  # of a command that was killed
        running.stop(1)
        running.wait()
    bench = Bench(
        engine=engine,
        setup=setup,
        labels=labels,
        memory_bytes=int(environment.memory_bytes() * MEMORY_SHARE),
        models=(Mount(place.models, "models"), *weights_mounts(plan.inputs)),
        weights=str(plan.weights),
        described=provenance.describe(engine),
    )
    results = place.root / "grades" / setup.assignment.name / setup.key[:16]
    return Class(bench, found, results, _workers(pipeline.gpus()))


def _workers(gpus: str) -> tuple[str, ...]:
    """One worker for each GPU, or one on the CPU."""
    if gpus == "none":
        return ("none",)
    found = nvidia.chosen(nvidia.gpus() or [], gpus)
    return tuple(str(gpu.index) for gpu in found) or (gpus,)


def _grade(made: Class, screen: Screen) -> tuple[list[Grade], float]:
    """Grade the class, with its progress on the screen; seconds for each that was graded now."""
    screen.tell("grade", "grade.checking", count=len(made.handed), workers=len(made.gpus))
    began = time.monotonic()
    with screen.progress("grade") as progress:
        grades = made.grade(progress)
    total, now = time.monotonic() - began, len(made.seconds)
    if now < len(grades):
        screen.tell("grade", "grade.resumed", count=len(grades) - now)
    if now:
        screen.tell("grade", "grade.speed", seconds=total / now, total=total)
    return grades, total


def _target(root: Path, asked: Assignment, folder: Path) -> Path:
    name = re.sub(r"[^\w.-]+", "_", folder.name).lstrip(".") or "class"
    return root / "grades" / asked.name / name


def _tell(
    grades: Sequence[Grade],
    asked: Assignment,
    files: Mapping[str, str],
    seconds: float,
    screen: Screen,
) -> int:
    counts = class_files.counts(grades)
    body = {
        "assignment": asked.name,
        "counts": counts,
        "seconds": round(seconds, 2),
        "files": dict(files),
        "grades": [grade.model_dump(mode="json", exclude={"sketch"}) for grade in grades],
    }
    screen.result(body, table=class_files.shown_table(asked.title, grades, screen.lang))
    for kind in ("grades.csv", "grades.html"):
        screen.say("grade", files[kind])
    said = {"graded": counts["graded"], "refused": counts["refused"], "missing": counts[NOT_GRADED]}
    screen.tell("grade", "grade.counts", **said)
    if left := counts[NOT_GRADED]:
        errors = {str(grade.provenance.get("what", "")) for grade in grades if not grade.final}
        raise AssignmentError(
            "incomplete", left=left, total=len(grades), why="\n".join(sorted(errors))
        )
    return 0
