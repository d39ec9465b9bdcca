"""A started local job: a process group, its log file, and the note by which it is found again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from llavakit.engines.base import Outcome
from llavakit.engines.lines import LineSplitter
from llavakit.errors import EngineError
from llavakit.locks import write_json
from llavakit.phrases import phrase

POLL_SECONDS = 0.05
JOBS_FOLDER = Path("cache/jobs")


def started(pid: int) -> str:
    """When process ``pid`` began, in a form to compare; empty when there is none (or a zombie).

    The boot is part of it: after one, numbers of processes and times since the boot come again.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "" if Path("/proc/self/stat").exists() else _started_by_ps(pid)
    except ProcessLookupError:
        return ""
    fields = stat[stat.rindex(")") + 2 :].split()
    return "" if fields[0] in "ZX" else f"{fields[19]}@{_boot()}"


def _boot() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _started_by_ps(pid: int) -> str:
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return "" if not answer or answer[0].startswith("Z") else " ".join(answer[1:])


def oom_kills() -> int:
    """How many processes the kernel has ended for want of memory since boot (0 if it won't say)."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


@dataclass(frozen=True)
class Note:
    """What another process needs to find a job: ``<id>.json`` beside the log ``<id>.log``."""

    id: str
    pid: int
    started: str
    host: str
    client: int
    client_started: str
    labels: Mapping[str, str]

    @classmethod
    def of(cls, job_id: str, pid: int, labels: Mapping[str, str]) -> Note:
        client = os.getpid()
        host = socket.gethostname()
        return cls(job_id, pid, started(pid), host, client, started(client), dict(labels))

    @classmethod
    def read(cls, path: Path) -> Note | None:
        """The note in ``path``; None when it is not one (any more)."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        write_json(folder / f"{self.id}.json", asdict(self))

    @property
    def alive(self) -> bool:
        here = self.host == socket.gethostname()
        return here and bool(self.started) and started(self.pid) == self.started

    @property
    def abandoned(self) -> bool:
        """Whether both the job and the process that started it are gone."""
        return (
            self.host == socket.gethostname()
            and not self.alive
            and started(self.client) != self.client_started
        )


class LocalJob:
    """A :class:`~llavakit.engines.base.Running`; ``process`` is None for a job found again."""

    def __init__(self, folder: Path, note: Note, process: subprocess.Popen[bytes] | None) -> None:
        self._folder = folder
        self._note = note
        self._process = process
        # Opened now, so that it can still be read after wait() removed it.
        self._log = os.open(folder / f"{note.id}.log", os.O_RDONLY)
        weakref.finalize(self, os.close, self._log)
        self._kills_before = oom_kills()
        self._stopped = False

    @property
    def id(self) -> str:
        return self._note.id

    @property
    def ended(self) -> bool:
        if self._process is None:
            return not self._note.alive
        if self._process.returncode is not None:
            return True
        # Leave the zombie to wait(): as long as it is there its group's number stays taken.
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        with contextlib.suppress(ChildProcessError):
            return os.waitid(os.P_PID, self._process.pid, options) is not None
        return True

    def lines(self) -> Iterator[str]:
        splitter = LineSplitter()
        position = 0
        ended = False
        while True:
            data = os.pread(self._log, 1 << 16, position)
            position += len(data)
            yield from splitter.feed(data)
            if data:
                continue
            if ended:
                break
            ended = self.ended  # then read once more: it may have written in between
            if not ended:
                time.sleep(POLL_SECONDS)
        yield from splitter.close()

    def send(self, line: str) -> None:
        pipe = self._process.stdin if self._process else None
        try:
            if pipe is None:
                raise EngineError("no-input", job=self.id)
            pipe.write(f"{line}\n".encode())
            pipe.flush()
        except OSError as error:
            raise EngineError("no-input", job=self.id, why=str(error)) from None

    def stop(self, grace_seconds: float = 10.0) -> None:
        deadline = time.monotonic() + grace_seconds
        if self.ended:
            return
        self._stopped = True
        self._signal(signal.SIGTERM)
        while not self.ended and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        if not self.ended:
            self._signal(signal.SIGKILL)

    def wait(self) -> Outcome:
        while not self.ended:
            time.sleep(POLL_SECONDS)
        outcome = self._reap() if self._process else Outcome(None)
        for suffix in (".log", ".json"):
            (self._folder / f"{self.id}{suffix}").unlink(missing_ok=True)
        return outcome

    def _reap(self) -> Outcome:
        assert self._process is not None  # noqa: S101
        if self._process.returncode is None:
            self._signal(signal.SIGKILL)  # what it left running ends too, as in a container
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        status = self._process.wait()
        if status >= 0:
            return Outcome(status)
        killed = status == -signal.SIGKILL and not self._stopped
        memory = killed and oom_kills() > self._kills_before
        # A shell's convention, and Docker's: 128 and the number of the signal.
        return Outcome(
            128 - status, memory, phrase("ended.signal", signal=signal.Signals(-status).name)
        )

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._note.pid, number)
