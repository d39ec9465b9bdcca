"""Who takes a run from stage to stage: a command, or the process that ``--detach`` left behind.

A lock of the kernel's on ``RUN/.driver`` says whether there is one: it goes with the process,
however that ends, and nobody else's number can be taken for it. ``driver.json`` beside it says who,
since when and at what. Only as long as the lock is held is a state in it one of the present:
``running`` without the lock means that the driver was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from llavakit import errors, record, redact
from llavakit.engines import processes
from llavakit.errors import KitError
from llavakit.locks import write_atomic

FILE = "driver.json"
LOCK_FILE = ".driver"
LOG = Path("logs", "detached.log")
"""What a detached driver says, inside the run's folder."""
CLAIM_SECONDS = 0.5
"""Long enough for whoever only looks (see :func:`is_driven`)."""
OF_A_CALL = ("yes", "detach", "detached", "json", "plan", "run", "workspace")
"""Options that say how a task is called, not what it makes."""
PRESENT = ("running", "waiting")


@dataclass(frozen=True)
class Driver:
    """The content of driver.json."""

    task: str
    state: str = "running"
    """``running``, ``waiting``; at its end ``finished``, ``failed`` or ``interrupted``."""
    since: str = field(default_factory=record.now)
    """UTC."""
    pid: int = field(default_factory=os.getpid)
    started: str = field(default_factory=lambda: processes.started(os.getpid()))
    host: str = field(default_factory=socket.gethostname)
    user: str = field(default_factory=lambda: user())
    detached: bool = False
    stage: str = ""
    engine: str = ""
    gpus: list[int] = field(default_factory=list)
    waits_for: str = ""
    error: str = ""
    """How it ended, in the form of :meth:`llavakit.errors.KitError.to_wire`."""
    log_from: int = 0
    """Where in :data:`LOG` the lines of this process begin."""
    output_from: int = 0
    """Where in ``logs/STAGE.log`` the lines of the present job begin."""
    order: dict[str, Any] | None = None
    """What another process needs to go on with it, see :mod:`llavakit.host.detaching`."""

    @property
    def failure(self) -> KitError | None:
        return errors.from_wire(self.error)

    @property
    def is_here(self) -> bool:
        """Whether its process is one of this host, alive, and no other of the same number."""
        return self.host == socket.gethostname() and processes.started(self.pid) == self.started

    def words(self) -> str:
        """Who it is, in a few words."""
        return f"invoke {self.task} (pid {self.pid}, {self.user}@{self.host})"

    def interrupt(self) -> None:
        """Press its Ctrl-C. Raises PermissionError where it is another user's."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGINT)


class Seat:
    """The driver's own view: it holds the lock and keeps driver.json."""

    def __init__(self, run_dir: Path, driver: Driver) -> None:
        self.run_dir = run_dir
        self.driver = driver
        self.told = False

    def tell(self, **changes: Any) -> None:
        """Write what changed. Whoever reads it can do without: a full disk fails no run."""
        self.driver, self.told = replace(self.driver, **changes), True
        text = json.dumps(asdict(self.driver), ensure_ascii=False, indent=2, sort_keys=True)
        with contextlib.suppress(OSError):
            self.run_dir.mkdir(parents=True, exist_ok=True)
            write_atomic(self.run_dir / FILE, redact.scrub(text, redact.secrets(os.environ)) + "\n")

    def end(self, error: KitError | None, *, interrupted: bool = False) -> None:
        """Say how it ended; nothing where nothing was said before."""
        stopped = interrupted or (error is not None and error.exit_code == 130)
        state = "interrupted" if stopped else "failed" if error else "finished"
        if self.told:
            self.tell(state=state, waits_for="", error=error.to_wire() if error else "")


def claim(run_dir: Path) -> FileLock | None:
    """The lock of the run's driver, for this process; None while another one has it.

    Raises OSError where the folder cannot be written.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run_dir / LOCK_FILE, thread_local=False)
    try:
        lock.acquire(timeout=CLAIM_SECONDS, poll_interval=0.05)
    except Timeout:
        return None
    return lock


def is_driven(run_dir: Path) -> bool:
    """Whether a living process drives the run. Two that look do not see one another."""
    try:
        handle = os.open(run_dir / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def read(run_dir: Path) -> Driver | None:
    """What the run's driver said last, whether it lives or not; None when that cannot be read."""
    try:
        body = json.loads((run_dir / FILE).read_text(encoding="utf-8"))
        known = {each.name for each in fields(Driver)}
        return Driver(**{name: value for name, value in body.items() if name in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def after(run_dir: Path, task: str, order: dict[str, Any] | None) -> Driver:
    """A driver that begins now. Of one that was killed it knows at what: a job may be left."""
    before = read(run_dir)
    if before is None or before.state not in PRESENT:
        return Driver(task, order=order)
    return Driver(
        task, order=order, stage=before.stage, engine=before.engine, gpus=before.gpus,
        output_from=before.output_from,
    )  # fmt: skip


def tidy(run_dir: Path) -> None:
    """Remove the folder of a run of which nothing was made."""
    if not (run_dir / "recipe.json").exists() and not (run_dir / LOG).exists():
        with contextlib.suppress(OSError):
            for name in (FILE, LOCK_FILE):
                (run_dir / name).unlink(missing_ok=True)
            run_dir.rmdir()


def order(task: str, settings: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """What it takes to call ``task`` again, as JSON values; nothing of it is a secret."""
    kept = {name: settings[name] for name in ("recipe", "engine", "gpus", "base", "lang")}
    given = {
        name: list(value) if isinstance(value, (list, tuple)) else value
        for name, value in options.items()
        if value and name not in (*kept, *OF_A_CALL)
    }
    return {"task": task, "settings": kept, "options": given, "folder": str(Path.cwd())}


def user() -> str:
    """The caller's name, or number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(os.getuid())
