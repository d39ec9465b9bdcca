"""What a check finds, and what the checks share of the host that they look at."""

from __future__ import annotations

import fcntl
import os
import shlex
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from llavakit.engines import docker_facts, local
from llavakit.engines.base import Engine
from llavakit.engines.docker_facts import EngineFacts
from llavakit.errors import EngineError, KitError
from llavakit.host import driver, environment, nvidia, preflight, words
from llavakit.host.jobs import labels as job_labels
from llavakit.host.nvidia import Gpu
from llavakit.host.pipeline import Pipeline
from llavakit.host.plan import Plan, Stage, todo
from llavakit.host.settings import Settings
from llavakit.recipe import Recipe
from llavakit.workspace import Workspace

Status = Literal["pass", "warn", "fail", "skip"]
ENGINE_SECONDS = 2.0
GIB = 2**30
ALIKE = ("recipe", "set", "weights", "llm", "vision", "projector", "data", "engine", "gpus",
         "workspace")  # fmt: skip
TAKES: dict[str, tuple[str, ...]] = {
    "doctor": ALIKE,
    "train": ALIKE,
    "demo": ("engine", "workspace"),
    "runs": ("workspace",),
    "verify": ("engine", "workspace"),
}
"""Which of doctor's options mean the same to a task; another recipe's --set is none of demo's."""
KEEP = "--set train.checkpoints.keep"
T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """``warn``: there is a way round, or the kit will see to it. ``fail``: the recipe needs it."""

    status: Status
    found: str
    remedy: str = ""
    """One, that can be pasted where it is a command; every warn and fail has one."""


@dataclass(frozen=True)
class Check:
    """One prerequisite. ``id`` is dotted and stable: its first part is the theme."""

    id: str
    look: Callable[[Host], Finding]
    seconds: float = 3.0
    """After that it counts as hung."""
    needed: bool = True
    """Whether the recipe cannot run where this check hangs."""

    @property
    def theme(self) -> str:
        return self.id.partition(".")[0]


class Once(Generic[T]):
    """A value that is worked out once, by whoever asks first; who asks meanwhile waits."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._kept: list[T] = []

    def __call__(self) -> T:
        with self._lock:
            if not self._kept:
                self._kept.append(self._make())
            return self._kept[0]


@dataclass
class Host:
    """This host, for one recipe. What several checks ask for is asked once."""

    settings: Settings
    pipeline: Pipeline
    targets: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    probed: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    """What doctor was called with: what it says to paste is called with the same."""

    def __post_init__(self) -> None:
        self._docker = Once(self._look_for_docker)
        self.gpus = Once(nvidia.gpus)
        self.stages = Once(self._stages)
        self.holder = Once(self._holder)
        self.jobs = Once(self._jobs)

    @property
    def lang(self) -> str:
        return self.pipeline.screen.lang

    @property
    def plan(self) -> Plan:
        return self.pipeline.plan

    @property
    def recipe(self) -> Recipe:
        return self.plan.recipe

    @property
    def workspace(self) -> Workspace:
        return self.pipeline.workspace

    @property
    def nearest(self) -> Path:
        """The workspace, or the folder that is there and will hold it."""
        root = self.workspace.root
        return next(path for path in (root, *root.parents) if is_there(path))

    @property
    def needs_gpu(self) -> bool:
        return preflight.needs_gpu(self.recipe)

    @property
    def trains(self) -> bool:
        return any(stage.step == "train" for stage in self.stages())

    def docker(self) -> EngineFacts | EngineError:
        """The Docker Engine that answers, or why none does."""
        return self._docker()

    def engine(self) -> Literal["docker", "local"]:
        """Where the recipe's jobs will run."""
        if self.settings.engine != "auto":
            return "local" if self.settings.engine == "local" else "docker"
        return "local" if isinstance(self.docker(), EngineError) else "docker"

    def facts(self) -> EngineFacts | None:
        """The Docker Engine that jobs will run in; None where they run without, or none answers."""
        found = self.docker() if self.settings.engine != "local" else None
        return found if isinstance(found, EngineFacts) else None

    def has_environment(self) -> bool:
        """Whether the engine's image or environment is there; which one, others say."""
        if self.engine() == "local":
            return environment.has_local(self.settings)
        facts = self.facts()
        return facts is not None and facts.image_labels(self.settings.image_tag) is not None

    def is_made(self) -> bool:
        """Whether that is there and made from this clone's pins: nothing is fetched for it."""
        if self.engine() == "local":
            return environment.has_local(self.settings)
        facts = self.facts()
        labels = facts.image_labels(self.settings.image_tag) if facts else None
        made_from = (labels or {}).get(environment.LABEL_ENVIRONMENT)
        return made_from == environment.environment_sha256()

    def gpu_access(self) -> str:
        """How a job gets GPUs here; ``none`` if it cannot."""
        facts = self.facts()
        if facts is not None:
            return facts.gpus
        return local.GPU_ACCESS if self.engine() == "local" else "none"

    def given_gpus(self) -> str:
        """As in ``Job.gpus``, with what a cluster's scheduler left of it."""
        return preflight.visible(self.pipeline.gpus(), self.gpu_access())

    def first_gpu(self) -> Gpu | None:
        """The one that jobs use; None where there is none, or nobody can tell."""
        chosen = nvidia.chosen(self.gpus() or [], self.given_gpus())
        return chosen[0] if chosen else None

    def at_rest(self) -> bool:
        """Whether no command and no job is at work in the workspace."""
        return not self.at_work()

    def at_work(self) -> str:
        """The command, run or job that is at work in the workspace; empty where none is."""
        runs = (path.parent for path in self.workspace.runs.glob(f"*/{driver.LOCK_FILE}"))
        driven = (run.name for run in runs if driver.is_driven(run))
        return self.holder() or next(driven, "") or next(iter(self.jobs()), "")

    def say(self, key: str, /, **params: object) -> str:
        return words.text(f"doctor.{key}", self.lang, **params)

    def passed(self, key: str, /, **params: object) -> Finding:
        return Finding("pass", self.say(key, **params))

    def skipped(self, key: str, /, **params: object) -> Finding:
        return Finding("skip", self.say(key, **params))

    def lacks(self, status: Status, key: str, /, **params: object) -> Finding:
        """What is wrong, and its remedy: ``KEY.remedy`` in the table of words."""
        remedy = self.say(f"{key}.remedy", **self._commands(), **params)
        return Finding(status, self.say(key, **params), remedy)

    def command(self, task: str, *, leaving: str = "") -> str:
        """A command line of ``task`` with the options that it shares with this doctor."""
        words = ["invoke", task]
        for name in TAKES[task]:
            value = self.options.get(name)
            for each in value if isinstance(value, list | tuple) else [value] if value else []:
                if f"--{name}" != leaving and not f"--{name} {each}".startswith(f"{leaving}="):
                    words += [f"--{name}", str(each)]
        return shlex.join(words)

    def _commands(self) -> dict[str, str]:
        return {
            "doctor": self.command("doctor"),
            "elsewhere": self.command("doctor", leaving="--workspace"),
            "keep_one": self.command("train", leaving=KEEP) + f" {KEEP}=1",
            "demo": self.command("demo"),
            "runs": self.command("runs"),
            "verify": self.command("verify"),
        }

    def refused(self, status: Status, error: KitError) -> Finding:
        """What a command would say when it refuses to begin."""
        why = error.why.splitlines()
        found = error.what(self.lang) + (f" ({why[0][:160]})" if why else "")
        return Finding(status, found, error.remedy(self.lang))

    def _look_for_docker(self) -> EngineFacts | EngineError:
        try:
            return docker_facts.look(ENGINE_SECONDS)
        except EngineError as error:
            return error

    def _stages(self) -> list[Stage]:
        todos = todo(self.plan, self.workspace, self.targets)
        return [item.stage for item in todos if item.action == "run"]

    def _holder(self) -> str | None:
        """Who holds the workspace's lock; None where nobody does."""
        return holder(self.workspace)

    def _jobs(self) -> list[str]:
        """The workspace's jobs that are running, whoever started them."""
        labels, found = job_labels(self.workspace), self.docker()
        engines: list[Engine] = [environment.present(self.settings, None)]
        if isinstance(found, EngineFacts):
            engines.append(environment.present(self.settings, found.client))
        return [job.id for engine in engines for job in engine.find(labels)]


def is_there(path: Path) -> bool:
    """Whether it can be seen: what lies in a folder of another user's may not be."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises PermissionError


def holder(place: Workspace) -> str | None:
    """Who holds a workspace's lock at this moment; None where nobody does."""
    if not is_held(place.root / ".lock"):
        return None
    try:
        return (place.root / ".lock-owner").read_text("utf-8") or "?"
    except OSError:
        return "?"


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock ``path``. Two that look do not see one another."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # not there, or another user's: whose is for another check to say
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(handle)
