"""The local engine: jobs are processes in the pinned virtual environment.

For hosts that are containers themselves and for clusters. A job is an ordinary process of the
caller's: it is kept apart by convention (a clean environment, a GPU list), not by force, so the one
thing promised is that it outlives its client.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from llavakit.engines import mounts
from llavakit.engines.base import Guarantee, Job, Running, check, new_id
from llavakit.engines.processes import JOBS_FOLDER, LocalJob, Note
from llavakit.errors import EngineError
from llavakit.redact import is_secret

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOME = Path("cache/home")
NVIDIA_DEVICE = Path("/dev/nvidiactl")
GPUS = "CUDA_VISIBLE_DEVICES"
GPU_ACCESS = "cuda-visible-devices"
"""How a job gets its GPUs: it sees the host's, less those that this variable hides."""


class LocalEngine:
    """``python`` is the environment's interpreter, ``pythonpath`` the folder of the kit's code.

    ``workspace`` is where :meth:`find` looks for jobs, besides those this engine has seen.
    ``from_shell`` are variables that :meth:`command` leaves to the shell that runs it, which may be
    on another host than this.
    """

    name = "local"
    guarantees = frozenset({Guarantee.OUTLIVES_CLIENT})

    def __init__(
        self,
        python: Path,
        pythonpath: Path,
        *,
        workspace: Path | None = None,
        from_shell: tuple[str, ...] = (),
    ) -> None:
        self.from_shell = from_shell
        self.python = python
        self.pythonpath = pythonpath
        self._workspaces = {workspace.absolute()} if workspace else set()

    def describe(self) -> dict[str, str]:
        return {"engine": self.name, "kernel": platform.release(), "gpus": GPU_ACCESS}

    def can_use_gpus(self) -> bool:
        return NVIDIA_DEVICE.exists() or shutil.which("nvidia-smi") is not None

    def start(self, job: Job) -> LocalJob:
        """Start ``job``; see the Protocol.

        Raises EngineError ``guarantee-missing``, ``mount-missing``, ``mount-blocked`` or
        ``cannot-start``.
        """
        check(self, job)
        if not job.workspace.is_dir():
            raise EngineError("mount-missing", path=job.workspace)
        self._workspaces.add(job.workspace.absolute())
        for mount in job.mounts:
            mounts.make_link(job, mount)
        folder = job.workspace / JOBS_FOLDER
        job_id = new_id(job)
        log = folder / f"{job_id}.log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (job.workspace / HOME).mkdir(parents=True, exist_ok=True)
            process = self._spawn(job, log)
        except OSError as error:
            log.unlink(missing_ok=True)
            raise EngineError("cannot-start", job=job.name, why=str(error)) from None
        return _noted(job, job_id, folder, process)

    def find(self, labels: Mapping[str, str]) -> list[Running]:
        """The living jobs of the known workspaces with ``labels``."""
        return self._jobs([(file, note) for file, note in self._notes(labels) if note.alive])

    def ended(self, labels: Mapping[str, str]) -> list[Running]:
        return self._jobs([(file, note) for file, note in self._notes(labels) if note.abandoned])

    def sweep(self, labels: Mapping[str, str]) -> list[str]:
        """Remove the files of jobs that ended after their client was killed; returns their ids."""
        swept = []
        for note_file, note in self._notes(labels):
            if note.abandoned:
                note_file.with_suffix(".log").unlink(missing_ok=True)
                note_file.unlink(missing_ok=True)
                swept.append(note.id)
        return swept

    def command(self, job: Job) -> str:
        words = ["env", "-i"]
        passed = [key for key in self.from_shell if job.gpus == "all" or key != GPUS]
        words += [f'${{{key}+"{key}=${key}"}}' for key in passed]
        for key, value in self._environment(job).items():
            if key in passed:
                continue
            secret = is_secret(key, value)
            words.append(f'{key}="${key}"' if secret else shlex.quote(f"{key}={value}"))
        words += [shlex.quote(word) for word in (str(self.python), *job.argv)]
        return " && ".join([*_preparations(job), " ".join(words)])

    def _spawn(self, job: Job, log: Path) -> subprocess.Popen[bytes]:
        # Output goes to a file: a pipe would break when the client that reads it is killed.
        with log.open("wb") as output:
            return subprocess.Popen(
                [str(self.python), *job.argv],
                cwd=job.workspace,
                env=self._environment(job),
                stdin=subprocess.PIPE if job.interactive else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _environment(self, job: Job) -> dict[str, str]:
        """Nothing of the caller's but what is named here: no secret gets in by accident."""
        env = {
            "PATH": f"{self.python.parent}:{SYSTEM_PATH}",
            "HOME": str(job.workspace.absolute() / HOME),
            "LANG": "C.UTF-8",
            "LOGNAME": "llavakit",  # a uid without an entry in /etc/passwd has no other name
            "PYTHONPATH": str(self.pythonpath),
            "PYTHONUNBUFFERED": "1",
            "PYTHONNOUSERSITE": "1",
        }
        if "TMPDIR" in os.environ:
            env["TMPDIR"] = os.environ["TMPDIR"]
        if job.gpus != "none":
            env["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # nvidia-smi's, by which people name them
        if job.gpus != "all":
            env[GPUS] = "" if job.gpus == "none" else job.gpus
        elif GPUS in os.environ:  # a cluster's scheduler has chosen already
            env[GPUS] = os.environ[GPUS]
        return env | dict(job.env)

    def _notes(self, labels: Mapping[str, str]) -> Iterator[tuple[Path, Note]]:
        for root in self._workspaces:
            for file in (root / JOBS_FOLDER).glob("*.json"):
                note = Note.read(file)
                if note is not None and labels.items() <= note.labels.items():
                    yield file, note

    def _jobs(self, notes: Iterable[tuple[Path, Note]]) -> list[Running]:
        found: list[Running] = []
        for file, note in notes:
            with contextlib.suppress(FileNotFoundError):  # somebody waited for it this moment
                found.append(LocalJob(file.parent, note, None))
        return found


def _preparations(job: Job) -> list[str]:
    """What :meth:`LocalEngine.start` makes before a job starts, as lines for a shell."""
    links = {mount.target: mount.source.resolve() for mount in job.mounts
             if (job.workspace / mount.target).resolve() != mount.source.resolve()}  # fmt: skip
    folders = [str(HOME), *(str(Path(target).parent) for target in links)]
    lines = [["cd", str(job.workspace)], ["mkdir", "-p", *dict.fromkeys(folders)]]
    for target, source in links.items():
        place = job.workspace / target
        if place.is_dir() and not place.is_symlink():  # Docker's; ln would put the link into it
            lines.append(["rmdir", target])
        lines.append(["ln", "-sfn", str(source), target])
    return [shlex.join(line) for line in lines]


def _noted(job: Job, job_id: str, folder: Path, process: subprocess.Popen[bytes]) -> LocalJob:
    try:
        note = Note.of(job_id, process.pid, job.labels)
        note.write(folder)
        return LocalJob(folder, note, process)
    except BaseException:
        process.kill()
        process.wait()
        (folder / f"{job_id}.log").unlink(missing_ok=True)
        raise
