"""What a recipe that needs a GPU needs of its host, looked at before anything starts.

Jobs use the first GPU that they are given, counted as nvidia-smi counts; a training of several
ranks uses as many. Free memory is a look at
one moment: another program may take it the next. A host without nvidia-smi is believed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from llavakit.engines import local
from llavakit.errors import EngineError, StepError
from llavakit.host import environment, memory, nvidia, profiles, words
from llavakit.host.console import Screen
from llavakit.host.nvidia import Gpu
from llavakit.host.settings import Settings
from llavakit.phrases import phrase
from llavakit.recipe import Recipe

BUILT_FOR = ((5, 0), (6, 0), (7, 0), (7, 5), (8, 0), (8, 6), (9, 0))
"""Compute capabilities in torch 2.1.2+cu121's own list (``torch.cuda.get_arch_list()``)."""
BF16 = (8, 0)
"""Ampere: the first compute capability with bf16, which the memory profiles train in."""
MIN_DRIVER = (525, 60)
"""Of CUDA 12.x on Linux, from NVIDIA's release notes: 525.60.13."""
MIN_DRIVER_WORDS = "525.60.13"
GIB = 2**30


def needs_gpu(recipe: Recipe) -> bool:
    """Whether it cannot run on a CPU: bitsandbytes quantises on GPUs only."""
    return recipe.train.llm_quantization != "none"


def check(
    screen: Screen,
    settings: Settings,
    recipe: Recipe,
    gpus: str,
    *,
    trains: bool,
    busy: bool,
    asks: bool = False,
    merges: bool = False,
    is_taken: Callable[[str], bool] = lambda access: False,
) -> None:
    """Refuse ``recipe`` on a host where it cannot run on ``gpus`` (as in ``Job.gpus``).

    ``trains``: its memory is needed. ``busy``: its own training is under way and holds that memory.
    ``asks``: its model will answer. ``merges``: its merged model will, in 16 bits. ``is_taken``
    says, of how the engine gives GPUs, whether another run has the turn on the GPU: its memory is
    for later.

    Raises StepError ``needs-gpu``, ``no-such-gpu``, ``ranks-gpus``, ``no-kernels``,
    ``old-driver``, ``needs-bf16``, ``small-gpu``, ``other-profile``, ``small-to-ask``,
    ``busy-gpu``, ``little-memory``; EngineError ``no-gpu-support``, and what asking for the engine
    raises.
    """
    if gpus == "none" or (not environment.has_nvidia_gpu() and settings.engine == "local"):
        raise StepError("needs-gpu", recipe=recipe.name)
    access = environment.gpu_access(settings)
    if access == "none":
        if not environment.has_nvidia_gpu():
            raise StepError("needs-gpu", recipe=recipe.name)
        raise EngineError("no-gpu-support", gpus=gpus)
    busy = busy or is_taken(access)
    found = nvidia.gpus()
    if not found or visible(gpus, access).startswith("MIG-"):  # parts of a GPU have no row
        why = words.text("gpu.no-smi" if found is None else "gpu.not-counted", screen.lang)
        screen.tell("gpu", "gpu.not-seen", why=why, access=access)
    else:
        given = visible(gpus, access)
        needs = profiles.gpu_mib(recipe, trains=trains, asks=asks, merges=merges)
        check_gpu(recipe, found, given, (0, 0) if busy else needs)
    if trains and not busy:
        check_memory(recipe)


def check_gpu(recipe: Recipe, found: Sequence[Gpu], gpus: str, needs: tuple[int, int]) -> None:
    """Refuse GPUs that cannot run ``recipe``, one for each of its ranks; see :func:`check`.

    ``needs``: MiB while it trains and while it answers, 0 for what it will not do. Only the first
    one answers.
    """
    chosen = nvidia.chosen(found, gpus)
    if not chosen:
        names = ", ".join(f"{gpu.index} ({gpu.name})" for gpu in found) or phrase("none")
        raise StepError("no-such-gpu", wanted=gpus, found=names)
    ranks, (train, ask) = recipe.train.ranks if needs[0] else 1, needs
    if len(chosen) < ranks:
        raise StepError("ranks-gpus", ranks=ranks, gpus=len(chosen))
    for place, gpu in enumerate(chosen[:ranks]):
        each = (train, 0 if place else ask)
        problem = unusable(gpu) or no_bf16(recipe, gpu) or lacks_memory(recipe, gpu, found, each)
        if problem is not None:
            raise problem


def lacks_memory(
    recipe: Recipe, gpu: Gpu, found: Sequence[Gpu], needs: tuple[int, int]
) -> StepError | None:
    """Why ``needs`` do not fit ``gpu``: its size, or what others hold of it. None: they fit."""
    train, ask = needs
    need = max(needs)
    if gpu.free_mib >= need:
        return None
    name = f"GPU {gpu.index} ({gpu.name})"
    if gpu.total_mib < train:
        return _too_small(recipe, gpu, name, train)
    if gpu.total_mib < ask:
        params: dict[str, Any] = {"total": gpu.total_mib, "recipe": recipe.name}
        return StepError("small-to-ask", gpu=name, need=ask, **params)
    others = [str(other.index) for other in found
              if other.free_mib >= need and not unusable(other)]  # fmt: skip
    return StepError(
        "busy-gpu",
        gpu=name, free=gpu.free_mib, total=gpu.total_mib, recipe=recipe.name, need=need,
        holders="; ".join(holder.words() for holder in nvidia.holders(gpu)) or "-",
        others=", ".join(others) or "-",
    )  # fmt: skip


def _too_small(recipe: Recipe, gpu: Gpu, name: str, need: int) -> StepError:
    params: dict[str, Any] = {"gpu": name, "total": gpu.total_mib, "recipe": recipe.name}
    fits = profiles.fitting(recipe, gpu.total_mib)
    if fits is None or (gpu.capability is not None and gpu.capability < BF16):
        return StepError("small-gpu", need=need, **params)
    params |= {"fits": fits.name, "fits_need": fits.needs.gpu_mib, "maths": profiles.maths(fits)}
    return StepError("other-profile", need=need, **params)


def unusable(gpu: Gpu) -> StepError | None:
    """Why no recipe of the kit runs on ``gpu``; None where that is not known."""
    return no_kernels(gpu) or old_driver(gpu)


def no_kernels(gpu: Gpu) -> StepError | None:
    """The refusal of a GPU that the pinned torch was not built for."""
    if gpu.capability is None or has_kernels(gpu.capability):
        return None
    name = f"GPU {gpu.index} ({gpu.name})"
    built = " ".join(f"{major}.{minor}" for major, minor in BUILT_FOR)
    said = "{}.{}".format(*gpu.capability)
    return StepError("no-kernels", gpu=name, capability=said, built=built)


def old_driver(gpu: Gpu) -> StepError | None:
    """The refusal of a driver that does not serve CUDA 12."""
    if driver_numbers(gpu.driver) >= MIN_DRIVER:
        return None
    return StepError("old-driver", found=gpu.driver, needed=MIN_DRIVER_WORDS)


def no_bf16(recipe: Recipe, gpu: Gpu) -> StepError | None:
    """The refusal of a GPU that cannot compute in what a memory profile trains in."""
    if recipe.train.memory is None or gpu.capability is None or gpu.capability >= BF16:
        return None
    return StepError("needs-bf16", recipe=recipe.name)


def has_kernels(capability: tuple[int, int]) -> bool:
    """Kernels run on the generation that they were built for, from their own revision on."""
    major, minor = capability
    return any(major == built and minor >= revision for built, revision in BUILT_FOR)


def driver_numbers(version: str) -> tuple[int, ...]:
    """``580.65.06`` as numbers; what cannot be read counts as new enough."""
    words = version.split(".")
    return tuple(map(int, words)) if all(word.isdecimal() for word in words) else MIN_DRIVER


def check_memory(recipe: Recipe) -> None:
    """Raise StepError ``little-memory`` where ``recipe`` would be ended for want of it."""
    free = memory.available_bytes()
    if free is not None and free < recipe.needs.memory_gib * GIB:
        raise StepError(
            "little-memory",
            free=f"{free / GIB:.1f}", recipe=recipe.name, need=f"{recipe.needs.memory_gib:g}",
        )  # fmt: skip


def visible(gpus: str, access: str) -> str:
    """``gpus``, or what a cluster's scheduler left of ``all`` for the local engine's jobs."""
    if gpus == "all" and access == local.GPU_ACCESS:
        return os.environ.get("CUDA_VISIBLE_DEVICES") or gpus
    return gpus


def announce(screen: Screen, label: str, gpus: str, access: str) -> list[dict[str, Any]]:
    """Say in one line which GPUs the stage ``label`` gets, and how; the same for its record.

    Empty where it gets none, or nobody can tell.
    """
    if gpus == "none":
        return []
    found = nvidia.chosen(nvidia.gpus() or [], visible(gpus, access))
    said = words.text("semicolon", screen.lang).join(gpu.words() for gpu in found)
    said = said or words.text("gpu.indices", screen.lang, gpus=gpus)
    screen.tell(label, "gpu.given", gpus=said, access=access)
    return [{**asdict(gpu), "given_by": access} for gpu in found]
