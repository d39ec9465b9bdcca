"""What an engine is: it runs a job in the pinned environment and says what it guarantees.

Engines know Docker, processes and files. They have never heard of LLaVA.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal, Protocol

from llavakit.errors import EngineError
from llavakit.phrases import Phrase


class Guarantee(str, Enum):
    """A promise about every job of an engine. The conformance suite tests each declared one."""

    ISOLATION = "isolation"
    """The job sees the workspace, its mounts and the environment, and nothing else of the host."""
    NETWORK_OFF = "network-off"
    """A job with ``network=False`` that joins none can open no connection, not even to the host."""
    READ_ONLY_MOUNTS = "read-only-mounts"
    """Writing to a read-only mount fails, whoever the job runs as."""
    NON_ROOT = "non-root"
    """The job's uid is not 0 and it holds no capability."""
    LIMITS = "limits"
    """``Limits`` hold: a job that asks for more of anything is stopped, not its host."""
    GPU_SELECTION = "gpu-selection"
    """The job sees the chosen GPUs only, and none for ``gpus='none'``."""
    OUTLIVES_CLIENT = "outlives-client"
    """The job goes on when the process that started it is killed, and ``find`` finds it again."""


@dataclass(frozen=True)
class Mount:
    """A folder or file of the host that the job reads at ``target`` (relative to the workspace)."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class Limits:
    """What a job may use; None means the host's own limit."""

    memory_bytes: int | None = None
    pids: int | None = 4096
    shm_bytes: int | None = None
    tmp_bytes: int | None = None
    """Of the job's temporary folder, which lies in memory."""
    file_bytes: int | None = None
    """Of any one file that it writes: with single files to write to, of all that it writes."""
    output_bytes: int | None = None
    """Of what it prints, to be read by :meth:`Running.lines`; more ends the job."""
    seconds: int | None = None
    """From its start to its end; the clock goes on when the client is killed."""


@dataclass(frozen=True)
class Job:
    """What an engine runs.

    ``argv`` are the arguments of the environment's Python (``("-m", "package.module", ...)``).
    The working directory is the workspace; every path in ``argv`` is relative to it.
    """

    name: str
    argv: tuple[str, ...]
    workspace: Path
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    gpus: str = "none"
    """``none``, ``all`` or device indices such as ``0,1``."""
    network: bool = False
    joins: str = ""
    """A network on which jobs of several hosts meet: ``host``, the host's own, or the engine's name
    for one. It is no way to the internet that the job is told of."""
    alias: str = ""
    """The job's name on the engine's network that it joins."""
    limits: Limits = Limits()
    labels: Mapping[str, str] = field(default_factory=dict)
    interactive: bool = False
    """Keep standard input open for :meth:`Running.send`."""
    requires: frozenset[Guarantee] = frozenset()
    read_only: bool = False
    """The workspace too is only read: the job writes to mounts that say so, and nowhere else."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended. Whether it succeeded is for its artefacts to prove."""

    exit_code: int | None
    """None when nobody can know it any more (a local job whose client was killed)."""
    out_of_memory: bool = False
    detail: str | Phrase = ""
    """The engine's own words, when it had any."""
    over: Literal["", "seconds", "output"] = ""
    """The limit that ended it."""


class Running(Protocol):
    """A started job."""

    @property
    def id(self) -> str: ...

    def lines(self) -> Iterator[str]:
        """Output and errors of the job, merged, line by line without the newline, to its end."""
        ...

    def send(self, line: str) -> None:
        """Write a line to the job's standard input (jobs with ``interactive`` only)."""
        ...

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Ask the job to end (SIGTERM), then make it (SIGKILL). Does nothing to an ended job."""
        ...

    def wait(self) -> Outcome:
        """Block until the job has ended; removes what the engine kept for it."""
        ...


class Engine(Protocol):
    """Where jobs run."""

    @property
    def name(self) -> str: ...

    @property
    def guarantees(self) -> frozenset[Guarantee]: ...

    def describe(self) -> dict[str, str]:
        """Versions and identities for the record's provenance (never secrets)."""
        ...

    def can_use_gpus(self) -> bool:
        """Whether a job can be given GPUs here: what ``gpus='all'`` would find is not looked at."""
        ...

    def start(self, job: Job) -> Running:
        """Start ``job``.

        Raises EngineError ``guarantee-missing`` when the job requires what this engine does not
        guarantee, and other EngineErrors when the job cannot start; nothing is left behind then.
        """
        ...

    def find(self, labels: Mapping[str, str]) -> list[Running]:
        """The running jobs whose labels include ``labels``, whoever started them."""
        ...

    def ended(self, labels: Mapping[str, str]) -> list[Running]:
        """The jobs with ``labels`` that ended after their client was killed: their output and how
        they ended are still to be had, and :meth:`Running.wait` removes them.

        Not while another command may be starting a job with ``labels``, or waiting for one.
        """
        ...

    def sweep(self, labels: Mapping[str, str]) -> list[str]:
        """Remove what jobs left whose client was killed before they ended; returns their ids.

        Not while another command may be starting a job with ``labels``, or waiting for one.
        """
        ...

    def command(self, job: Job) -> str:
        """A shell command line that does the same by hand."""
        ...


def check(engine: Engine, job: Job) -> None:
    """Raise EngineError ``guarantee-missing`` when ``job`` needs more than ``engine`` promises."""
    missing = job.requires - engine.guarantees
    if missing:
        names = ", ".join(sorted(guarantee.value for guarantee in missing))
        raise EngineError("guarantee-missing", engine=engine.name, missing=names)


def new_id(job: Job) -> str:
    """A name for one start of ``job``, unique on this host and fit for files and containers."""
    name = re.sub(r"[^a-zA-Z0-9_.-]+", "-", job.name)
    return f"llavakit-{name}-{secrets.token_hex(4)}"
