"""A job as a container: the options once, for the SDK and for the command line."""

from __future__ import annotations

import csv
import io
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.types import LogConfig, Ulimit
from docker.types import Mount as BindMount

from llavakit.engines import gpus
from llavakit.engines.base import Job
from llavakit.engines.gpus import GpuAccess
from llavakit.engines.mounts import KEPT_FOLDER, SHARED_FOLDERS, User, linked
from llavakit.redact import is_secret

LABEL = "io.llavakit"
WORKSPACE = "/workspace"
TMPFS = "/tmp"  # noqa: S108
TMPFS_BYTES = 2 << 30
ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108  (the only place, but the workspace, that can be written)
    "LANG": "C.UTF-8",
    "PYTHONUNBUFFERED": "1",
    "PYTHONNOUSERSITE": "1",
}
NO_OTHER_GPUS = {"NVIDIA_VISIBLE_DEVICES": "void"}
"""CUDA's images say ``all``, which gives every GPU where NVIDIA's runtime is the default one."""
GPU_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""nvidia-smi's own, by which people name their GPUs; CUDA's counts the fastest first."""
TIMED_OUT = 124
"""What coreutils' timeout ends with when the time is up and SIGTERM was enough."""
KILL_SECONDS = 5
"""After SIGTERM."""
GPU_STACK = 64 << 20
"""Bytes of a thread's stack, and no limit on locked memory: what NVIDIA asks for its containers."""
NO_PRIVILEGES = "no-new-privileges:true"
NO_LABEL = "label=disable"
LOOPBACK = re.compile(
    r"(?=.*:)"  # a scheme or a port: the bare word is no address to connect to
    r"([a-z][\w+.-]*://)?([^/@\s]*@)?(localhost|127(\.\d+){1,3}|0\.0\.0\.0|\[::1?\])(:\d+)?(/\S*)?",
    re.IGNORECASE,
)


def label(key: str) -> str:
    """``key`` in the kit's own namespace of labels."""
    return key if key.startswith(f"{LABEL}.") else f"{LABEL}.{key}"


def own_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """A job's labels as its container has them."""
    return {label(key): value for key, value in labels.items()}


def network(job: Job) -> str:
    """Docker's name for the network that the job gets.

    Inside a container, loopback is the container: for a proxy of the host's own (or a mirror) at a
    loopback address the job shares the host's network. Where the engine runs in a virtual machine
    or rootless, that is not the loopback of the person who asks.
    """
    if job.joins:
        return job.joins
    if not job.network:
        return "none"
    return "host" if any(names_loopback(key, value) for key, value in job.env.items()) else "bridge"


def names_loopback(name: str, value: str) -> bool:
    """Whether an environment variable sends its reader to a loopback address."""
    return not name.lower().endswith("no_proxy") and LOOPBACK.fullmatch(value.strip()) is not None


@dataclass(frozen=True)
class ContainerSpec:
    """All that distinguishes one container of the kit from another."""

    job: Job
    image: str
    user: User
    gpu_access: GpuAccess = GpuAccess.NONE
    userns: str = ""
    """``host`` where the engine remaps users, so that the workspace's owner stays who it is."""
    selinux: bool = False
    """The engine labels containers: they could read nothing of a user's folders. Switched off for
    this one container, since to label the folders anew would change what is not the kit's.
    """
    may_lock_memory: bool = True
    """Where an engine may not raise this limit, a container that asks for it cannot start."""

    elsewhere: bool = False
    """The engine is on another machine: what this one has at the paths of the job says nothing."""

    @property
    def environment(self) -> dict[str, str]:
        by_runtime = self.job.gpus != "none" and self.gpu_access is GpuAccess.RUNTIME
        order = {} if self.job.gpus == "none" else GPU_ORDER
        return ENVIRONMENT | ({} if by_runtime else NO_OTHER_GPUS) | order | dict(self.job.env)

    @property
    def security(self) -> list[str]:
        return [NO_PRIVILEGES, *([NO_LABEL] if self.selinux else [])]

    @property
    def ulimits(self) -> list[tuple[str, int]]:
        most = self.job.limits.file_bytes
        limits = [] if most is None else [("fsize", most)]
        if self.job.gpus == "none":
            return limits
        return [*limits, *[("memlock", -1)] * self.may_lock_memory, ("stack", GPU_STACK)]

    @property
    def tmpfs(self) -> dict[str, str]:
        size = self.job.limits.tmp_bytes
        size = TMPFS_BYTES if size is None else size
        return {TMPFS: f"rw,noexec,nosuid,nodev,mode=1777,size={size}"}

    @property
    def entrypoint(self) -> list[str]:
        """Python, under a clock where the job has a limit: one inside, that needs no client."""
        seconds = self.job.limits.seconds
        clock = ["timeout", f"--kill-after={KILL_SECONDS}", str(seconds)]
        return ["python"] if seconds is None else [*clock, "python"]

    @property
    def log_options(self) -> dict[str, str]:
        """The engine's file of the output goes round at a size that ends the job before."""
        most = self.job.limits.output_bytes
        return {} if most is None else {"max-size": str(4 * most), "max-file": "1"}

    @property
    def labels(self) -> dict[str, str]:
        return {LABEL: "job", label("name"): self.job.name} | own_labels(self.job.labels)

    @property
    def binds(self) -> list[tuple[str, str, bool]]:
        """Source, target and whether it is read-only, the workspace first.

        A shared folder that is a link is bound too: its target is not in the workspace.
        """
        workspace = self.job.workspace.absolute()
        taken = {mount.target for mount in self.job.mounts}
        links = [] if self.elsewhere else [name for name in linked(workspace) if name not in taken]
        return [
            (str(workspace), WORKSPACE, self.job.read_only),
            *((str((workspace / name).resolve()), f"{WORKSPACE}/{name}", False) for name in links),
            *(
                (str(self._real(mount.source)), f"{WORKSPACE}/{mount.target}", mount.read_only)
                for mount in self.job.mounts
            ),
        ]

    def _real(self, source: Path) -> Path:
        return source if self.elsewhere else source.resolve()

    def options(self) -> dict[str, Any]:
        """Keyword arguments of the SDK's ``containers.create``, without the name."""
        job, limits = self.job, self.job.limits
        return {
            "image": self.image,
            "entrypoint": self.entrypoint,
            "command": list(job.argv),
            "working_dir": WORKSPACE,
            "user": f"{self.user[0]}:{self.user[1]}",
            "environment": self.environment,
            "labels": self.labels,
            # As mounts, not volumes: those make a missing source, as root and in silence.
            "mounts": [
                BindMount(target, source, type="bind", read_only=read_only)
                for source, target, read_only in self.binds
            ],
            "read_only": True,
            "tmpfs": self.tmpfs,
            "cap_drop": ["ALL"],
            "security_opt": self.security,
            **_network_options(job),
            "use_config_proxy": job.network,
            "pids_limit": limits.pids,
            "mem_limit": limits.memory_bytes,
            "memswap_limit": limits.memory_bytes,
            "shm_size": limits.shm_bytes,
            "ulimits": [Ulimit(name=name, soft=most, hard=most) for name, most in self.ulimits],
            "userns_mode": self.userns or None,
            "device_requests": gpus.device_requests(job.gpus, self.gpu_access),
            "stdin_open": job.interactive,
            "init": True,
            # Readable whatever the engine's default log driver is.
            "log_config": LogConfig(type=LogConfig.types.JSON, config=self.log_options),
        }

    def run_line(self) -> str:
        """The same as a line for a shell, that makes what the engine makes before it starts."""
        return " && ".join([*self.preparations(), _join(self.run_words())])

    def preparations(self) -> list[str]:
        """Shell lines that make the mountpoints, and the workspace the job's."""
        workspace = self.job.workspace.absolute()
        places = {workspace / mount.target: mount.source.is_file() for mount in self.job.mounts}
        folders = [str(place.parent if is_file else place) for place, is_file in places.items()]
        lines = [_join(["mkdir", "-p", *dict.fromkeys(folders)])] if folders else []
        files = [shlex.quote(str(place)) for place, is_file in places.items() if is_file]
        lines += [f"{{ [ -e {file} ] || touch {file}; }}" for file in files]
        if os.getuid() == 0 and self.user[0] != 0:
            lines.append(_chown_line(workspace, self.user))
        return lines

    def run_words(self) -> list[str]:
        """``docker run`` and its arguments, each a word."""
        job, limits = self.job, self.job.limits
        program, *first = self.entrypoint
        words = ["docker", "run", "--rm", "--init", "--entrypoint", program]
        words += ["--interactive"] if job.interactive else []
        words += ["--workdir", WORKSPACE, "--user", f"{self.user[0]}:{self.user[1]}"]
        for source, target, read_only in self.binds:
            words += ["--mount", _mount_value(source, target, read_only)]
        words += ["--read-only"]
        words += [word for path, how in self.tmpfs.items() for word in ("--tmpfs", f"{path}:{how}")]
        words += ["--cap-drop", "ALL"]
        words += [word for option in self.security for word in ("--security-opt", option)]
        words += ["--network", network(job)]
        words += _option("--network-alias", job.alias if _is_named(job) else None)
        words += _option("--pids-limit", limits.pids)
        words += _option("--memory", limits.memory_bytes)
        words += _option("--memory-swap", limits.memory_bytes)
        words += _option("--shm-size", limits.shm_bytes)
        words += [word for name, most in self.ulimits for word in ("--ulimit", f"{name}={most}")]
        words += _option("--userns", self.userns or None)
        words += gpus.arguments(job.gpus, self.gpu_access)
        for key, value in self.environment.items():
            # Without a value Docker takes the shell's own: a token is not for a screen.
            words += ["--env", key if is_secret(key, value) else f"{key}={value}"]
        for key, value in self.labels.items():
            words += ["--label", f"{key}={value}"]
        return [*words, self.image, *first, *job.argv]


def _is_named(job: Job) -> bool:
    """Whether the job joins a network on which names are looked up."""
    return bool(job.joins) and job.joins != "host"


def _network_options(job: Job) -> dict[str, Any]:
    name = network(job)
    if not _is_named(job):
        return {"network_mode": name}
    return {"network": name, "networking_config": {name: {"Aliases": [job.alias]}}}


def _option(name: str, value: int | str | None) -> list[str]:
    return [] if value is None else [name, str(value)]


def _mount_value(source: str, target: str, read_only: bool) -> str:
    """Docker reads the value of --mount as one line of CSV."""
    fields = ["type=bind", f"source={source}", f"target={target}"]
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([*fields, "readonly"] if read_only else fields)
    return out.getvalue()


def _chown_line(workspace: Path, user: User) -> str:
    """Root's own files become the job's, as :func:`llavakit.engines.mounts.give` does it."""
    owner = f"{user[0]}:{user[1]}"
    tops = [str(workspace / name) for name in SHARED_FOLDERS]
    kept = str(workspace / KEPT_FOLDER)
    made_by_root = ["find", str(workspace), "-path", kept, "-prune", "-o", "-user", "root"]
    given = ["-exec", "chown", "--no-dereference", owner, "{}", "+"]
    return f"{_join(['mkdir', '-p', *tops])} && {_join(made_by_root + given)}"


def _join(words: list[str]) -> str:
    return " ".join(shlex.quote(word) for word in words)
