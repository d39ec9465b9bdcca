"""Memory of the host and of the engine's machine, shared memory, and the disk, step by step."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from llavakit import recipe as recipes
from llavakit.errors import StepError
from llavakit.host import consent, environment, memory, preflight
from llavakit.host.doctor.findings import GIB, Check, Finding, Host, is_there
from llavakit.host.pipeline import MEMORY_SHARE

SHM = Path("/dev/shm")  # noqa: S108 - looked at, not written
SHM_MIB = 64
"""What one training process on one GPU takes of it, with room to spare: Docker's own default."""
INODES = 10_000
ENVIRONMENT_INODES = 80_000
"""Files of the environment (about 60,000), and some more."""


def ram(host: Host) -> Finding:
    """Free memory against what training and converting take, within this process's limits."""
    need, free = host.recipe.needs.memory_gib, memory.available_bytes()
    if free is None:
        return host.skipped("memory.unknown")
    problem = None
    try:
        preflight.check_memory(host.recipe)
    except StepError as error:
        problem = error
    if problem is not None:
        return host.refused("fail" if host.needs_gpu else "warn", problem)
    return host.passed("memory.ram", free=f"{free / GIB:.1f}", need=f"{need:g}")


def engine_ram(host: Host) -> Finding:
    """What a container is given of it; Docker Desktop's and WSL2's machine has less than the host.

    ``needs.memory_gib`` counts all that is used, so a job just reaches a limit of that size.
    """
    facts = host.facts()
    if facts is None:
        return host.skipped("memory.no-engine")
    need, total = host.recipe.needs.memory_gib, facts.memory_bytes / GIB
    given = environment.memory_bytes() / GIB * MEMORY_SHARE
    if 0 < total < min(need, given):
        return host.lacks("fail", "memory.small-engine", total=f"{total:.1f}", need=f"{need:g}")
    params = {"given": f"{given:.1f}", "need": f"{need:g}"}
    if given < need:
        return host.lacks("fail", "memory.too-little", **params)
    return host.passed("memory.given", **params)


def shm(host: Host) -> Finding:
    """Shared memory: a container is given its own, a local job has the host's."""
    if not host.needs_gpu:
        return host.skipped("memory.shm-unused")
    if host.engine() == "docker":
        return host.passed("memory.shm-given")
    try:
        free = shutil.disk_usage(SHM).free / 2**20
    except OSError:
        return host.lacks("warn", "memory.no-shm")
    if free < SHM_MIB:
        return host.lacks("warn", "memory.small-shm", free=f"{free:.0f}", need=SHM_MIB)
    return host.passed("memory.shm", free=f"{free:.0f}")


def for_environment(host: Host) -> Finding:
    """Room for the image, where the engine keeps it, or for the local environment."""
    if _environment_gib(host) == 0:
        return host.passed("disk.environment-there")
    place = _environment_place(host)
    if not is_there(place):
        return host.skipped("disk.elsewhere", folder=place)
    free, need = shutil.disk_usage(place).free / GIB, _environment_gib(host)
    if free < need:
        key = "disk.no-image" if host.engine() == "docker" else "disk.no-environment"
        return host.lacks("fail", key, need=f"{need:g}", free=f"{free:.1f}", folder=place)
    return host.passed("disk.environment", need=f"{need:g}", free=f"{free:.1f}", folder=place)


def for_downloads(host: Host) -> Finding:
    """Room for the weights and data that are still to be fetched."""
    costs = consent.cost(host.plan, host.workspace, host.stages())
    if not costs.download and not costs.unknown:
        return host.passed("disk.nothing-to-fetch")
    return _step(host, ("disk.fetch", "disk.fetch-full"), costs.download, before=_taken(host))


def for_training(host: Host) -> Finding:
    """Room for what the other steps write: safe forms of weights, checkpoints, the results."""
    costs = consent.cost(host.plan, host.workspace, host.stages())
    if costs.disk <= costs.download:
        return host.passed("disk.nothing-to-write")
    before, own = _taken(host) + costs.download, costs.disk - costs.download
    short = "disk.write-keep" if before + _with_one(host) <= _free(host) else "disk.write-full"
    return _step(host, ("disk.write", short), own, before)


def _with_one(host: Host) -> float:
    """GiB to write when one checkpoint is kept."""
    fewer = recipes.overridden(host.recipe, ["train.checkpoints.keep=1"])
    costs = consent.cost(replace(host.plan, recipe=fewer), host.workspace, host.stages())
    return costs.disk - costs.download


def _free(host: Host) -> float:
    return shutil.disk_usage(host.nearest).free / GIB


def _step(host: Host, keys: tuple[str, str], need: float, before: float) -> Finding:
    """``need`` and ``before`` in GiB: of this step, and of what comes before it on that disk."""
    free, folder = _free(host), host.workspace.root
    params = {"need": f"{need:.3g}", "all": f"{need + before:.3g}", "free": f"{free:.1f}",
              "folder": folder}  # fmt: skip
    if free < need + before:
        return host.lacks("fail", keys[1], **params)
    return host.passed(keys[0], **params)


def inodes(host: Host) -> Finding:
    """Some file systems have room for bytes and none for files."""
    found = os.statvfs(host.nearest)
    if found.f_files == 0:
        return host.skipped("disk.no-inodes")
    local = host.engine() == "local" and not host.is_made()
    need = ENVIRONMENT_INODES if local else INODES
    if found.f_favail < need:
        return host.lacks("fail", "disk.few-inodes", free=found.f_favail, need=need)
    return host.passed("disk.inodes", free=found.f_favail)


def _environment_gib(host: Host) -> float:
    """What the environment will still take: 0 where it is there."""
    if host.is_made():
        return 0.0
    return environment.LOCAL_GIB if host.engine() == "local" else environment.IMAGE_GIB


def _environment_place(host: Host) -> Path:
    facts = host.facts()
    if facts is not None:
        return facts.folder
    folder = environment.local_folder(host.settings)
    return next(path for path in folder.parents if is_there(path))


def _taken(host: Host) -> float:
    """GiB that the environment takes of the workspace's own disk, before anything else does."""
    place = _environment_place(host)
    shared = is_there(place) and place.stat().st_dev == host.nearest.stat().st_dev
    return _environment_gib(host) if shared else 0.0


CHECKS = (
    Check("memory.ram", ram),
    Check("memory.engine", engine_ram),
    Check("memory.shm", shm, needed=False),
    Check("disk.environment", for_environment),
    Check("disk.download", for_downloads),
    Check("disk.write", for_training),
    Check("disk.inodes", inodes),
)
