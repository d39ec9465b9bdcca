"""Jobs that run, found by their labels, whoever started them and in whichever engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from llavakit import locks
from llavakit.engines.base import Running
from llavakit.engines.docker import DockerEngine, connect
from llavakit.engines.local import LocalEngine
from llavakit.errors import EngineError
from llavakit.workspace import Workspace

ENGINES = ("docker", "local")
CONNECT_SECONDS = 2.0


def labels(place: Workspace) -> dict[str, str]:
    """By these labels an engine finds the jobs of a workspace again."""
    return {"workspace": locks.digest(str(place.root))[:16]}


def run_id(place: Workspace, run_dir: Path) -> str:
    """A run's id by its folder; of several hosts' runs all but one lie in another's folder."""
    return run_dir.relative_to(place.runs).as_posix()


def running(engine: str, root: Path, wanted: Mapping[str, str]) -> list[Running]:
    """The running jobs with the labels ``wanted``; ``root`` is their workspace.

    Empty where the engine does not answer: what is not seen is not waited for.
    """
    try:
        if engine == "docker":
            return DockerEngine(connect(CONNECT_SECONDS), "").find(wanted)
        return LocalEngine(Path(), Path(), workspace=root).find(wanted)
    except (EngineError, OSError):
        return []


def of_run(place: Workspace, run: str, engines: Iterable[str] = ENGINES) -> list[Running]:
    """The running jobs of the run with this id."""
    wanted = {**labels(place), "run": run}
    return [job for engine in engines for job in running(engine, place.root, wanted)]
