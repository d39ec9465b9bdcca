"""``--detach``: leave a task to a process that no terminal takes along.

That process runs the same pipeline as a command in the foreground. If it is killed, its job goes
on; the next process (`attach`, or the same command) finds the job by its labels and does the rest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llavakit.engines import choose
from llavakit.errors import KitError, StepError
from llavakit.host import driver, jobs, words
from llavakit.host.console import Screen
from llavakit.host.disk import disk_errors
from llavakit.host.pipeline import Pipeline
from llavakit.host.plan import todo
from llavakit.host.settings import KIT, Settings
from llavakit.workspace import Workspace

START_SECONDS = 60.0
TAIL_LINES = 15
INTERNAL = {"yes": True, "detach": False, "fresh": False, "json": False, "detached": True}
"""Options of the process: what there was to ask was asked, and the run is named."""


def start(pipeline: Pipeline, targets: Sequence[str], screen: Screen) -> bool:
    """Leave the task to a process of its own; False where there is nothing to be done.

    What can be refused or must be asked is, before. Raises what the task itself raises until it has
    the run in hand.
    """
    if driver.is_driven(pipeline.run_dir):
        told(pipeline.run_dir, screen, "detach.already")
        return True
    pipeline.workspace.create()
    to_run = [item.stage for item in todo(pipeline.plan, pipeline.workspace, targets)
              if item.action == "run"]  # fmt: skip
    if not to_run:
        return False
    pipeline.check_host(to_run)
    choose.choose(pipeline.settings.engine, lang=screen.lang)
    assert pipeline.order is not None  # noqa: S101 - the caller's task has one
    spawn(pipeline.settings, pipeline.order, pipeline.run_dir)
    told(pipeline.run_dir, screen, "detach.started")
    return True


def spawn(settings: Settings, order: Mapping[str, Any], run_dir: Path) -> None:
    """Start a process that carries out ``order`` (see :func:`driver.order`) for the run.

    Returns when it has the run in hand. Raises the KitError that it ended with before that.
    """
    configured = {**settings.model_dump(mode="json"), **order["settings"]}
    place = Workspace(settings.workspace.absolute())
    options = {**order["options"], **INTERNAL, "run": jobs.run_id(place, run_dir.absolute())}
    options["workspace"] = str(place.root)
    body = {"task": order["task"], "configured": configured, "options": options}
    log = run_dir / driver.LOG
    paths = [str(KIT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    with disk_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            size = output.tell()
            process = subprocess.Popen(
                [sys.executable, "-m", "llavakit.host.supervisor"],
                cwd=order["folder"], stdin=subprocess.PIPE, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            )  # fmt: skip
        assert process.stdin is not None  # noqa: S101 - it was asked for
        process.stdin.write(json.dumps(body).encode("utf-8"))
        process.stdin.close()
    _until_it_drives(process, run_dir, size)
    process.returncode = 0  # nobody waits for it


def _until_it_drives(process: subprocess.Popen[bytes], run_dir: Path, size: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        seen = driver.read(run_dir)
        if seen is not None and seen.pid == process.pid:
            if ended and seen.failure:
                raise seen.failure
            return
        if ended:
            break
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise _failed(run_dir, size)


def _failed(run_dir: Path, size: int) -> KitError:
    log = run_dir / driver.LOG
    with log.open("rb") as file:
        file.seek(size)
        lines = file.read().decode("utf-8", "replace").splitlines()
    return StepError("not-detached", log=log, why="\n".join(lines[-TAIL_LINES:]))


def told(run_dir: Path, screen: Screen, key: str) -> None:
    """Say who has the run in hand, and how to see it again."""
    seen, run = driver.read(run_dir), run_dir.name
    who = seen.words() if seen else "?"
    screen.tell("detached", key, who=who, run=run)
    for name in ("attach", "logs", "stop"):
        label = words.text(f"detach.{name}", screen.lang)
        screen.tell(label, f"detach.{name}.remedy", run=run)
    state = seen.state if seen else "running"
    screen.result({"run": run, "state": state, "process": seen.pid if seen else None})
