"""The GPU: there, served by a new enough driver, with kernels, free enough, and given to jobs."""

from __future__ import annotations

from llavakit import workspace
from llavakit.engines.gpus import GpuAccess
from llavakit.engines.local import GPU_ACCESS
from llavakit.errors import EngineError, KitError, StepError
from llavakit.host import environment, nvidia, preflight, profiles
from llavakit.host.doctor.findings import Check, Finding, Host, Status
from llavakit.host.nvidia import Gpu
from llavakit.host.pipeline import ASKS
from llavakit.phrases import phrase

SECONDS = 4.0
"""nvidia-smi wakes a GPU that nobody uses."""


def device(host: Host) -> Finding:
    """Whether a driver and its nvidia-smi name the GPU that jobs will use."""
    if host.pipeline.gpus() == "none" or not environment.has_nvidia_gpu():
        if host.needs_gpu:
            return host.refused("fail", StepError("needs-gpu", recipe=host.recipe.name))
        if host.settings.gpus not in ("auto", "none"):
            error = StepError("no-such-gpu", wanted=host.settings.gpus, found=phrase("none"))
            return host.refused("fail", error)
        return host.skipped("gpu.none")
    found = host.gpus()
    if not found:
        return host.lacks("warn", "gpu.no-smi")
    if host.given_gpus().startswith("MIG-"):
        return host.passed("gpu.part", part=host.given_gpus())
    gpu = host.first_gpu()
    if gpu is None:
        names = ", ".join(f"{each.index} ({each.name})" for each in found)
        error = StepError("no-such-gpu", wanted=host.given_gpus(), found=names)
        return host.refused("fail", error)
    count = len(nvidia.chosen(found, host.given_gpus()))
    return host.passed("gpu.device", gpu=_name(gpu), uuid=gpu.uuid, count=count)


def driver(host: Host) -> Finding:
    """Whether the driver serves CUDA 12."""
    gpu = _gpu(host)
    if isinstance(gpu, Finding):
        return gpu
    if problem := preflight.old_driver(gpu):
        return host.refused(_status(host), problem)
    return host.passed("gpu.driver", found=gpu.driver, needed=preflight.MIN_DRIVER_WORDS)


def kernels(host: Host) -> Finding:
    """Whether the pinned torch has kernels for it, and it has what the recipe computes in."""
    gpu = _gpu(host)
    if isinstance(gpu, Finding):
        return gpu
    for problem in (preflight.no_kernels(gpu), preflight.no_bf16(host.recipe, gpu)):
        if problem is not None:
            return host.refused(_status(host), problem)
    if gpu.capability is None:
        return host.lacks("warn", "gpu.capability-unknown")
    return host.passed("gpu.kernels", found="{}.{}".format(*gpu.capability))


def free(host: Host) -> Finding:
    """Whether as much memory is free as the recipe's steps take."""
    gpu = _gpu(host)
    if isinstance(gpu, Finding):
        return gpu
    if workspace.is_busy(host.pipeline.run_dir):
        return host.passed("gpu.own", free=gpu.free_mib, total=gpu.total_mib)
    steps = {stage.step for stage in host.stages() if stage.uses_gpu}
    needs = profiles.gpu_mib(
        host.recipe,
        trains="train" in steps,
        asks=bool(steps & ASKS),
        merges="check_merged" in steps,
    )
    if problem := preflight.lacks_memory(host.recipe, gpu, host.gpus() or [], needs):
        return host.refused(_status(host), problem)
    return host.passed("gpu.free", free=gpu.free_mib, total=gpu.total_mib, need=max(needs))


def holders(host: Host) -> Finding:
    """Who holds memory of it. Processes of other containers may not be told."""
    gpu = _gpu(host)
    if isinstance(gpu, Finding):
        return gpu
    found = nvidia.holders(gpu)
    if not found:
        return host.passed("gpu.nobody")
    return host.passed("gpu.holders", holders="; ".join(each.words() for each in found))


def access(host: Host) -> Finding:
    """Whether the engine can give a job the GPU. That it does, only the probe shows."""
    if host.pipeline.gpus() == "none" or not environment.has_nvidia_gpu():
        return host.skipped("gpu.not-there" if host.needs_gpu else "gpu.none")
    how = host.gpu_access()
    if how == "none":
        error: KitError = EngineError("no-gpu-support", gpus=host.pipeline.gpus())
        return host.refused(_status(host), error)
    facts = host.facts()
    if facts is not None and facts.stale and how == GpuAccess.CDI.value:
        params = {"path": facts.stale[0], "count": len(facts.stale)}
        return host.lacks(_status(host), "gpu.stale", **params)
    return host.passed("gpu.local" if how == GPU_ACCESS else "gpu.access", how=how)


def _gpu(host: Host) -> Gpu | Finding:
    if not environment.has_nvidia_gpu():
        return host.skipped("gpu.not-there" if host.needs_gpu else "gpu.none")
    gpu = host.first_gpu()
    return host.skipped("gpu.not-there") if gpu is None else gpu


def _status(host: Host) -> Status:
    """Without a GPU a recipe that needs none still runs: --gpus none."""
    return "fail" if host.needs_gpu else "warn"


def _name(gpu: Gpu) -> str:
    return f"GPU {gpu.index}: {gpu.name}"


CHECKS = (
    Check("gpu.device", device, SECONDS),
    Check("gpu.driver", driver, SECONDS),
    Check("gpu.kernels", kernels, SECONDS),
    Check("gpu.memory", free, SECONDS),
    Check("gpu.holders", holders, SECONDS, needed=False),
    Check("gpu.access", access),
)
