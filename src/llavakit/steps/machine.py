"""What a step's process runs on and how much of it it used, for the record of the run."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

from llavakit.steps.device import local_rank

CPUINFO = Path("/proc/cpuinfo")
STATUS = Path("/proc/self/status")


def describe() -> dict[str, Any]:
    """What decides the last bits of a computation here, and names. Imports torch.

    torch chooses its CPU kernels by the instruction set (``instructions``), MKL and oneDNN by the
    CPU's maker and model, so that two CPUs of one instruction set mostly, not surely, agree.
    """
    import torch

    gpu = torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        "cpu": cpu_name(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "device": "gpu" if gpu else "cpu",
        "gpu": torch.cuda.get_device_name(local_rank()) if gpu else None,
    }


def usage() -> dict[str, int]:
    """Peaks of this process in MiB: resident memory, and on a GPU what torch's allocator had.

    Not ``getrusage``: its peak outlives exec, so that it tells the parent's where that was larger.
    """
    peaks = {}
    if (resident := _field(STATUS, "VmHWM")).endswith(" kB"):
        peaks["host_mib"] = int(resident.split()[0]) >> 10
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        peaks["gpu_allocated_mib"] = torch.cuda.max_memory_allocated() >> 20
        peaks["gpu_reserved_mib"] = torch.cuda.max_memory_reserved() >> 20
    return peaks


def cpu_name() -> str:
    """The CPU's maker and model."""
    return _field(CPUINFO, "model name") or platform.machine()


def _field(path: Path, name: str) -> str:
    """The value of the first line ``NAME: VALUE``; empty where there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in found if key.strip() == name), "")
