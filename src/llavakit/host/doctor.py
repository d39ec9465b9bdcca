"""`invoke doctor`: what this host offers, one check a line, with a remedy where something lacks."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass

from llavakit.engines import docker as docker_engine
from llavakit.engines import image, venv
from llavakit.errors import EngineError, EnvironmentFailure
from llavakit.host import environment, memory, nvidia, preflight
from llavakit.host.console import Screen, table
from llavakit.host.settings import Settings

DISK_GIB = 15.0
"""Room for the environment while it is made, and a tiny run."""
MEMORY_GIB = 4.0


@dataclass(frozen=True)
class Check:
    """One finding. ``status``: pass, warn (a way round exists), fail, skip."""

    id: str
    status: str
    found: str
    remedy: str = ""


def report(settings: Settings, screen: Screen) -> int:
    """Print every check; exit status 1 when one failed."""
    checks = [check(settings) for check in CHECKS]
    rows = [(check.status, check.id, check.found, check.remedy) for check in checks]
    screen.result(
        [asdict(check) for check in checks],
        table=table("doctor", ("status", "check", "found", "remedy"), rows),
    )
    return int(any(check.status == "fail" for check in checks))


def _host(_: Settings) -> Check:
    found = f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores"
    if platform.machine() != "x86_64":
        return Check("host", "fail", found, "The pinned packages exist for x86_64 Linux only.")
    return Check("host", "pass", found)


def _docker(settings: Settings) -> Check:
    try:
        client = docker_engine.connect()
        engine = docker_engine.DockerEngine(client, settings.image_tag)
        version = engine.describe()["engine_version"]
        labels = image.inspect_labels(client, settings.image_tag)
    except EngineError as error:
        return Check(
            "engine-docker", "warn", error.what(settings.lang), error.remedy(settings.lang)
        )
    state = environment.image_state(labels)
    return Check("engine-docker", "pass", f"Docker Engine {version}; {settings.image_tag} {state}")


def _local(settings: Settings) -> Check:
    try:
        found = venv.find_python(settings.python or None, download=False)
    except EnvironmentFailure as error:
        if error.name == "no-python":
            error = EnvironmentFailure("python-later")
        return Check("engine-local", "warn", error.what(settings.lang), error.remedy(settings.lang))
    ready = venv.is_ready(environment.local_folder(settings), environment.LOCK)
    state = "environment ready" if ready else "environment not made yet"
    return Check("engine-local", "pass", f"Python 3.10: {found.how}; {state}")


def _disk(settings: Settings) -> Check:
    folder = next(
        path for path in (settings.workspace, *settings.workspace.parents) if path.exists()
    )
    free = shutil.disk_usage(folder).free / 2**30
    found = f"{free:.1f} GiB free for {settings.workspace}"
    if free < DISK_GIB:
        return Check("disk", "warn", found, f"{DISK_GIB:g} GiB are wanted: --workspace FOLDER")
    return Check("disk", "pass", found)


def _memory(_: Settings) -> Check:
    total = environment.memory_bytes() / 2**30
    free = (memory.available_bytes() or 0) / 2**30
    found = f"{free:.1f} of {total:.1f} GiB free"
    if total < MEMORY_GIB:
        return Check("memory", "warn", found, f"`tiny` wants {MEMORY_GIB:g} GiB")
    return Check("memory", "pass", found)


def _gpu(settings: Settings) -> Check:
    if not environment.has_nvidia_gpu():
        return Check("gpu", "skip", "no NVIDIA GPU; `invoke demo` needs none")
    found = nvidia.gpus()
    if not found:
        return Check("gpu", "warn", "an NVIDIA device, and no nvidia-smi that names it",
                     "Install the NVIDIA driver's tools.")  # fmt: skip
    words = "; ".join(gpu.words() for gpu in found)
    for problem in filter(None, map(preflight.unusable, found)):
        said = f"{words}; {problem.what(settings.lang)}"
        return Check("gpu", "warn", said, problem.remedy(settings.lang))
    try:
        access = environment.gpu_access(settings)
    except EngineError as error:
        return Check("gpu", "warn", words, error.remedy(settings.lang))
    if access == "none":
        lacking = EngineError("no-gpu-support", gpus="all")
        said = f"{words}; {lacking.what(settings.lang)}"
        return Check("gpu", "warn", said, lacking.remedy(settings.lang))
    return Check("gpu", "pass", f"{words}; given by {access}")


CHECKS: tuple[Callable[[Settings], Check], ...] = (_host, _docker, _local, _disk, _memory, _gpu)
